"""Keras's names for activations, in each era, as `spec.Activation`. Constants are always written out. Knows no graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cellserve.models.description.layers.activation import Activation, ActivationName
from cellserve.models.errors import ImportRefused
from cellserve.models.importers.keras.configuration.era import Era

SAME: Final[dict[str, Activation]] = {
    name: Activation(name=name)
    for name in (
        "linear", "tanh", "sigmoid", "relu", "relu6", "selu", "softmax", "softplus", "softsign", "exponential", "silu", "mish",
        "log_sigmoid", "hard_tanh", "hard_silu", "tanh_shrink",
    )
}  # fmt: skip
NAMED: Final[dict[str, Activation]] = {
    "swish": Activation(name="silu"),
    "hard_swish": Activation(name="hard_silu"),
    "gelu": Activation(name="gelu"),  # both tf.keras and Keras 3 default to the exact one
    "elu": Activation(name="elu", alpha=1.0),
    "celu": Activation(name="celu", alpha=1.0),
    "leaky_relu": Activation(name="leaky_relu", alpha=0.2),
    "soft_shrink": Activation(name="soft_shrink", alpha=0.5),
    "hard_shrink": Activation(name="hard_shrink", alpha=0.5),
    "squareplus": Activation(name="squareplus", alpha=4.0),
}


def activation_of(value: object, era: Era, source: str, layer: str, option: str = "activation") -> Activation:
    """A name, a serialised function, or a serialised activation layer. None is linear. Raises ImportRefused for any other."""
    if value is None:
        return Activation(name="linear")
    if isinstance(value, Mapping):
        return _serialised(value, era, source, layer, option)
    if value == "hard_sigmoid":
        return Activation(name=era.hard_sigmoid)
    known = (SAME | NAMED).get(value) if isinstance(value, str) else None
    if known is None:
        names = ", ".join(sorted([*SAME, *NAMED, "hard_sigmoid"]))
        raise ImportRefused(
            source, f"the activation {value!r} is not supported; the known ones are {names}", layer=layer, option=option
        )
    return known


def _serialised(value: Mapping[str, Any], era: Era, source: str, layer: str, option: str) -> Activation:
    """{"class_name": "function", "config": "relu"} of a built-in function, or {"class_name": "LeakyReLU", "config": {…}}."""
    class_name, config = value.get("class_name"), value.get("config")
    if class_name == "function" and isinstance(config, str) and value.get("registered_name") in (None, "function", config):
        return activation_of(config, era, source, layer, option)
    if isinstance(class_name, str) and isinstance(config, Mapping):
        found = activation_layer(class_name, config, source, layer)
        if found is not None:
            return found
    shown = config if isinstance(config, str) else class_name
    raise ImportRefused(
        source,
        f"the activation {shown!r} is a function of the model's own code, which a file does not hold",
        layer=layer,
        option=option,
    )


def activation_layer(class_name: str, config: Mapping[str, Any], source: str, layer: str) -> Activation | None:
    """What a layer that is only a function computes; None for a class that is not one."""
    match class_name:
        case "LeakyReLU":
            return Activation(name="leaky_relu", alpha=_number(config.get("alpha", config.get("negative_slope", 0.3)), 0.3))
        case "ThresholdedReLU":
            return Activation(name="thresholded_relu", alpha=_number(config.get("theta"), 1.0))
        case "ELU":
            return Activation(name="elu", alpha=_number(config.get("alpha"), 1.0))
        case "ReLU":
            return _relu(config, source, layer)
        case _:
            return None


def _relu(config: Mapping[str, Any], source: str, layer: str) -> Activation:
    slope, threshold = _number(config.get("negative_slope"), 0.0), _number(config.get("threshold"), 0.0)
    limit = config.get("max_value")
    if threshold == 0 and limit is None:
        return Activation(name="leaky_relu", alpha=slope) if slope else Activation(name="relu")
    if threshold == 0 and slope == 0 and _number(limit, 0.0) == 6:
        name: ActivationName = "relu6"
        return Activation(name=name)
    raise ImportRefused(
        source,
        f"ReLU with max_value {limit}, threshold {threshold} and slope {slope} is not supported yet (only a limit of 6 is)",
        layer=layer,
    )


def _number(value: Any, default: float) -> float:
    """A number, or an array of one written as {"type": "ndarray", "value": 0.1} by some versions."""
    if isinstance(value, Mapping):
        value = value.get("value")
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return default if value is None else float(value)
