"""The named activations of a description. Knows no layer."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

ActivationName = Literal[
    "linear",
    "tanh",
    "sigmoid",
    "hard_sigmoid",  # clip(0.2 x + 0.5, 0, 1): Theano, Keras 0-2, tf.keras
    "hard_sigmoid_relu6",  # relu6(x + 3) / 6: Keras 3, torch
    "relu",
    "relu6",
    "leaky_relu",
    "thresholded_relu",  # x above alpha, else 0
    "elu",
    "selu",
    "celu",
    "softmax",
    "log_softmax",
    "softplus",
    "softsign",
    "exponential",
    "gelu",
    "gelu_tanh",
    "silu",
    "mish",
    "log_sigmoid",
    "hard_tanh",
    "hard_silu",
    "tanh_shrink",
    "soft_shrink",
    "hard_shrink",
    "squareplus",
]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Activation(Frozen):
    """A named elementwise function (softmax, log_softmax: over the last axis); `alpha`: its slope, scale or threshold, if any."""

    name: ActivationName
    alpha: float | None = None

    @classmethod
    def of(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value
