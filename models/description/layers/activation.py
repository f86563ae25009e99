"""The named activations of a description, and which of them take a number. Knows no layer.

Defaults of `alpha` are those of the framework that has the name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer, model_validator

from cellserve.models.errors import InvalidSpec

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
    "min_gru_g",  # x + 0.5, below 0 sigmoid(x): the g of Feng et al. 2024, which keeps a state positive
    "affine",  # alpha x + beta: this and the next two are ONNX's, of any alpha and beta
    "scaled_tanh",  # alpha tanh(beta x)
    "clipped_affine",  # clip(alpha x + beta, 0, 1): a hard sigmoid of any slope
]
WITH_BETA: Final = ("affine", "scaled_tanh", "clipped_affine")

_DEFAULT_ALPHAS: Final[Mapping[str, float]] = {
    "leaky_relu": 0.2,
    "thresholded_relu": 1.0,
    "elu": 1.0,
    "celu": 1.0,
    "soft_shrink": 0.5,
    "hard_shrink": 0.5,
    "squareplus": 4.0,
}


def takes_alpha(name: str) -> bool:
    return name in _DEFAULT_ALPHAS


def default_alpha(name: str) -> float:
    """Of an activation that takes one. Raises KeyError for any other."""
    return _DEFAULT_ALPHAS[name]


class Frozen(BaseModel):
    """Part of a description. Its JSON may be written without what is at its default (`exclude_defaults`), but for `always_told`.

    So whoever does not know an option yet reads every description that does not use it. A default must never change.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    always_told: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _told(self, told: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = told(self)
        return written | {name: getattr(self, name) for name in self.always_told}


class Activation(Frozen):
    """A named elementwise function (softmax, log_softmax: over the last axis); `alpha`: its slope, scale or threshold, if any.

    `beta`: the second number of those that have two (WITH_BETA), which say both.
    """

    name: ActivationName
    alpha: float | None = None
    beta: float | None = None

    @model_validator(mode="after")
    def _says_both_or_has_no_beta(self) -> Self:
        both = self.alpha is not None and self.beta is not None
        if both != (self.name in WITH_BETA) and (self.name in WITH_BETA or self.beta is not None):
            needs = "needs an alpha and a beta" if self.name in WITH_BETA else "takes no beta"
            raise ValueError(f"activation {self.name!r} {needs}; alpha is {self.alpha}, beta {self.beta}")
        return self

    def check(self) -> None:
        """Raises InvalidSpec: an `alpha` for a function that has none."""
        if self.alpha is not None and not takes_alpha(self.name) and self.name not in WITH_BETA:
            raise InvalidSpec(f"activation {self.name!r} takes no alpha, but {self.alpha} was given")

    @classmethod
    def of(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value
