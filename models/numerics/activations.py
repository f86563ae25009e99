"""Names of activations to functions on tensors; the two hard_sigmoids are told apart.

Every function takes and returns a tensor of any shape; softmax and its logarithm act on the last axis. Knows no layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from cellserve.models.description.layers.activation import Activation, default_alpha

Elementwise = Callable[[Tensor], Tensor]


def resolve(activation: Activation) -> Elementwise:
    """Raises InvalidSpec: an `alpha` for an activation that has none."""
    activation.check()
    if activation.name in _WITH_BETA:
        return partial(_WITH_BETA[activation.name], alpha=activation.alpha, beta=activation.beta)
    if activation.name in _WITH_ALPHA:
        alpha = default_alpha(activation.name) if activation.alpha is None else activation.alpha
        return partial(_WITH_ALPHA[activation.name], alpha=alpha)
    return _PLAIN[activation.name]


def within(bound: float | None, function: Elementwise) -> Elementwise:
    """The function of its argument bounded to ± `bound`; None: not bounded."""
    return function if bound is None else partial(_bounded, function=function, bound=bound)


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


def _min_gru_g(x: Tensor) -> Tensor:
    return torch.where(x >= 0, x + 0.5, torch.sigmoid(x))


def _leaky_relu(x: Tensor, alpha: float) -> Tensor:
    return F.leaky_relu(x, negative_slope=alpha)


def _thresholded_relu(x: Tensor, alpha: float) -> Tensor:
    return F.threshold(x, alpha, 0.0)


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
    "min_gru_g": _min_gru_g,
}

_WITH_ALPHA: Mapping[str, Callable[..., Tensor]] = {
    "leaky_relu": _leaky_relu,
    "thresholded_relu": _thresholded_relu,
    "elu": _elu,
    "celu": _celu,
    "soft_shrink": _soft_shrink,
    "hard_shrink": _hard_shrink,
    "squareplus": _squareplus,
}

_WITH_BETA: Mapping[str, Callable[..., Tensor]] = {
    "affine": _affine,
    "scaled_tanh": _scaled_tanh,
    "clipped_affine": _clipped_affine,
}
