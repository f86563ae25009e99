"""Names of activations to functions on tensors; the two hard_sigmoids are told apart.

Every function takes and returns a tensor of any shape; softmax and its logarithm act on the last axis. Defaults of `alpha` are
those of the framework that has the name: leaky_relu 0.2, thresholded_relu, elu and celu 1, the shrinks 0.5, squareplus 4. Knows
no layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from cellserve.models.description.layers.activation import Activation
from cellserve.models.errors import InvalidSpec

Elementwise = Callable[[Tensor], Tensor]


def resolve(activation: Activation) -> Elementwise:
    """Raises InvalidSpec: an `alpha` for an activation that has none."""
    if activation.name in _WITH_BETA:
        return partial(_WITH_BETA[activation.name], alpha=activation.alpha, beta=activation.beta)
    if activation.name in _WITH_ALPHA:
        function, default = _WITH_ALPHA[activation.name]
        return partial(function, alpha=default if activation.alpha is None else activation.alpha)
    if activation.alpha is not None:
        raise InvalidSpec(f"activation {activation.name!r} takes no alpha, but {activation.alpha} was given")
    return _PLAIN[activation.name]


def takes_alpha(name: str) -> bool:
    return name in _WITH_ALPHA


def within(bound: float | None, function: Elementwise) -> Elementwise:
    """The function of its argument bounded to ± `bound`; None: not bounded."""
    return function if bound is None else partial(_bounded, function=function, bound=bound)


def default_alpha(name: str) -> float:
    """Of an activation that takes one. Raises KeyError for any other."""
    return _WITH_ALPHA[name][1]


def _bounded(x: Tensor, function: Elementwise, bound: float) -> Tensor:
    return function(x.clamp(-bound, bound))


def _linear(x: Tensor) -> Tensor:
    return x


def _hard_sigmoid(x: Tensor) -> Tensor:
    return torch.mul(x, 0.2).add_(0.5).clamp_(0.0, 1.0)


def _hard_tanh(x: Tensor) -> Tensor:
    return x.clamp(-1.0, 1.0)


def _softmax(x: Tensor) -> Tensor:
    return x.softmax(dim=-1)


def _log_softmax(x: Tensor) -> Tensor:
    return x.log_softmax(dim=-1)


def _tanh_shrink(x: Tensor) -> Tensor:
    return x - x.tanh()


def _leaky_relu(x: Tensor, alpha: float) -> Tensor:
    return F.leaky_relu(x, negative_slope=alpha)


def _thresholded_relu(x: Tensor, alpha: float) -> Tensor:
    return torch.where(x > alpha, x, x.new_zeros(()))


def _elu(x: Tensor, alpha: float) -> Tensor:
    return F.elu(x, alpha=alpha)


def _celu(x: Tensor, alpha: float) -> Tensor:
    return F.celu(x, alpha=alpha)


def _soft_shrink(x: Tensor, alpha: float) -> Tensor:
    return F.softshrink(x, alpha)


def _hard_shrink(x: Tensor, alpha: float) -> Tensor:
    return F.hardshrink(x, alpha)


def _squareplus(x: Tensor, alpha: float) -> Tensor:
    return (x + torch.sqrt(x * x + alpha)) / 2


def _affine(x: Tensor, alpha: float, beta: float) -> Tensor:
    return torch.mul(x, alpha).add_(beta)


def _scaled_tanh(x: Tensor, alpha: float, beta: float) -> Tensor:
    return torch.mul(x, beta).tanh_().mul_(alpha)


def _clipped_affine(x: Tensor, alpha: float, beta: float) -> Tensor:
    return torch.mul(x, alpha).add_(beta).clamp_(0.0, 1.0)


_PLAIN: Mapping[str, Elementwise] = {
    "linear": _linear,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "hard_sigmoid": _hard_sigmoid,
    "hard_sigmoid_relu6": F.hardsigmoid,
    "relu": torch.relu,
    "relu6": F.relu6,
    "selu": torch.selu,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "exponential": torch.exp,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "log_sigmoid": F.logsigmoid,
    "hard_tanh": _hard_tanh,
    "hard_silu": F.hardswish,
    "tanh_shrink": _tanh_shrink,
}

_WITH_ALPHA: Mapping[str, tuple[Callable[..., Tensor], float]] = {
    "leaky_relu": (_leaky_relu, 0.2),
    "thresholded_relu": (_thresholded_relu, 1.0),
    "elu": (_elu, 1.0),
    "celu": (_celu, 1.0),
    "soft_shrink": (_soft_shrink, 0.5),
    "hard_shrink": (_hard_shrink, 0.5),
    "squareplus": (_squareplus, 4.0),
}

_WITH_BETA: Mapping[str, Callable[..., Tensor]] = {
    "affine": _affine,
    "scaled_tanh": _scaled_tanh,
    "clipped_affine": _clipped_affine,
}
