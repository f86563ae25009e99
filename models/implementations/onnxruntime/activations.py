"""The activations that ONNX's recurrent operators have, by our names, with their parameters. Knows no layers and no library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from cellserve.models.description.layers.activation import Activation, default_alpha

OnnxActivation = tuple[str, float | None, float | None]  # name, alpha, beta; None where it has no such parameter


def onnx_activation(activation: Activation) -> OnnxActivation:
    """Raises KeyError for one that is not in `KNOWN`."""
    if activation.name in _SAME:
        return _SAME[activation.name]
    if activation.name in _WITH_BETA:
        return _WITH_BETA[activation.name], activation.alpha, activation.beta
    alpha = activation.alpha if activation.alpha is not None else default_alpha(activation.name)
    return _WITH_ALPHA[activation.name](alpha)


_SAME: Final[Mapping[str, OnnxActivation]] = {
    "linear": ("Affine", 1.0, 0.0),
    "tanh": ("Tanh", None, None),
    "sigmoid": ("Sigmoid", None, None),
    "hard_sigmoid": ("HardSigmoid", 0.2, 0.5),
    "hard_sigmoid_relu6": ("HardSigmoid", 1 / 6, 0.5),
    "relu": ("Relu", None, None),
    "softplus": ("Softplus", None, None),
    "softsign": ("Softsign", None, None),
}
_WITH_ALPHA: Final[Mapping[str, Callable[[float], OnnxActivation]]] = {
    "leaky_relu": lambda alpha: ("LeakyRelu", alpha, None),
    "thresholded_relu": lambda alpha: ("ThresholdedRelu", alpha, None),
    "elu": lambda alpha: ("Elu", alpha, None),
}
_WITH_BETA: Final[Mapping[str, str]] = {"affine": "Affine", "scaled_tanh": "ScaledTanh", "clipped_affine": "HardSigmoid"}
KNOWN: Final = frozenset((*_SAME, *_WITH_ALPHA, *_WITH_BETA))
NO_OPERATOR: Final = frozenset(("affine", "scaled_tanh"))  # of their own; recurrent operators have them
IN_VECTORS: Final = frozenset(("tanh", "sigmoid", "relu"))  # in ONNX Runtime's recurrent operators; the rest number by number
