"""The named functions of `spec.ActivationName`, from their definitions. Knows nothing of layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cellserve.models.description.layers.activation import Activation

Array = npt.NDArray[Any]

SELU_SCALE = 1.0507009873554804934193349852946  # Klambauer et al. 2017
SELU_ALPHA = 1.6732632423543772848170429916717
DEFAULT_ALPHA = {
    "leaky_relu": 0.2,
    "thresholded_relu": 1.0,
    "elu": 1.0,
    "celu": 1.0,
    "soft_shrink": 0.5,
    "hard_shrink": 0.5,
    "squareplus": 4.0,
}


def apply(activation: Activation, x: Array) -> Array:  # [..., F]
    """The activation of `x`, in x's own dtype.

    `alpha` means: slope below zero (leaky_relu), scale below zero (elu, celu), threshold (thresholded_relu, shrinks), the b of
    squareplus; where it is None the usual constant of `DEFAULT_ALPHA` stands in.
    """
    if activation.alpha is not None and activation.beta is not None:
        return _OF_TWO[activation.name](x, activation.alpha, activation.beta).astype(x.dtype, copy=False)
    alpha = DEFAULT_ALPHA.get(activation.name, 0.0) if activation.alpha is None else activation.alpha
    return _FUNCTIONS[activation.name](x, alpha).astype(x.dtype, copy=False)


def _sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def _softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _softmax(x: Array) -> Array:
    raised = np.exp(x - x.max(axis=-1, keepdims=True))
    shares: Array = raised / raised.sum(axis=-1, keepdims=True)
    return shares


def _log_softmax(x: Array) -> Array:
    shifted = x - x.max(axis=-1, keepdims=True)
    logarithms: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logarithms


def _elu(x: Array, alpha: float) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _gelu(x: Array) -> Array:
    error = np.array([math.erf(float(value) / math.sqrt(2)) for value in x.ravel()], dtype=np.float64).reshape(x.shape)
    return 0.5 * x * (1 + error)


_FUNCTIONS: dict[str, Callable[[Array, float], Array]] = {
    "linear": lambda x, alpha: x,
    "tanh": lambda x, alpha: np.tanh(x),
    "sigmoid": lambda x, alpha: _sigmoid(x),
    "hard_sigmoid": lambda x, alpha: np.clip(0.2 * x + 0.5, 0, 1),
    "hard_sigmoid_relu6": lambda x, alpha: np.clip(x + 3, 0, 6) / 6,
    "relu": lambda x, alpha: np.maximum(x, 0),
    "relu6": lambda x, alpha: np.clip(x, 0, 6),
    "leaky_relu": lambda x, alpha: np.where(x >= 0, x, alpha * x),
    "thresholded_relu": lambda x, alpha: np.where(x <= alpha, 0, x),
    "elu": _elu,
    "selu": lambda x, alpha: SELU_SCALE * _elu(x, SELU_ALPHA),
    "celu": lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha)),
    "softmax": lambda x, alpha: _softmax(x),
    "log_softmax": lambda x, alpha: _log_softmax(x),
    "softplus": lambda x, alpha: _softplus(x),
    "softsign": lambda x, alpha: x / (1 + np.abs(x)),
    "exponential": lambda x, alpha: np.exp(x),
    "gelu": lambda x, alpha: _gelu(x),
    "gelu_tanh": lambda x, alpha: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x, alpha: x * _sigmoid(x),
    "mish": lambda x, alpha: x * np.tanh(_softplus(x)),
    "log_sigmoid": lambda x, alpha: -_softplus(-x),
    "hard_tanh": lambda x, alpha: np.clip(x, -1, 1),
    "hard_silu": lambda x, alpha: x * np.clip(x + 3, 0, 6) / 6,
    "tanh_shrink": lambda x, alpha: x - np.tanh(x),
    "soft_shrink": lambda x, alpha: np.sign(x) * np.maximum(np.abs(x) - alpha, 0),
    "hard_shrink": lambda x, alpha: np.where(np.abs(x) <= alpha, 0, x),
    "squareplus": lambda x, alpha: (x + np.sqrt(x * x + alpha)) / 2,
    "min_gru_g": lambda x, alpha: np.where(x >= 0, x + 0.5, _sigmoid(x)),
}

_OF_TWO: dict[str, Callable[[Array, float, float], Array]] = {
    "affine": lambda x, alpha, beta: alpha * x + beta,
    "scaled_tanh": lambda x, alpha, beta: alpha * np.tanh(beta * x),
    "clipped_affine": lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1),
}
