"""Activations against their definitions, written here in plain Python."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from cellserve.models.description.layers.activation import WITH_BETA, Activation, ActivationName
from cellserve.models.errors import InvalidSpec
from cellserve.models.numerics.activations import resolve
from cellserve.models.reference.activations import apply as reference

POINTS = [-30.0, -4.0, -3.0, -2.6, -2.5, -1.0, -0.5, -0.3, 0.0, 0.3, 0.5, 0.7, 1.0, 2.5, 2.9, 3.0, 6.5, 30.0]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def clip(x: float, low: float, high: float) -> float:
    return min(max(x, low), high)


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


DEFINITIONS: dict[str, Callable[[float], float]] = {
    "linear": lambda x: x,
    "tanh": math.tanh,
    "sigmoid": sigmoid,
    "hard_sigmoid": lambda x: clip(0.2 * x + 0.5, 0, 1),
    "hard_sigmoid_relu6": lambda x: clip(x + 3, 0, 6) / 6,
    "relu": lambda x: max(x, 0.0),
    "relu6": lambda x: clip(x, 0, 6),
    "leaky_relu": lambda x: x if x > 0 else 0.2 * x,
    "thresholded_relu": lambda x: x if x > 1 else 0.0,
    "elu": lambda x: x if x > 0 else math.expm1(x),
    "selu": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * math.expm1(x)),
    "celu": lambda x: max(x, 0.0) + min(0.0, math.expm1(x)),
    "softplus": softplus,
    "softsign": lambda x: x / (1 + abs(x)),
    "exponential": math.exp,
    "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "gelu_tanh": lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x * sigmoid(x),
    "mish": lambda x: x * math.tanh(softplus(x)),
    "log_sigmoid": lambda x: -softplus(-x),
    "hard_tanh": lambda x: clip(x, -1, 1),
    "hard_silu": lambda x: x * clip(x + 3, 0, 6) / 6,
    "tanh_shrink": lambda x: x - math.tanh(x),
    "soft_shrink": lambda x: math.copysign(max(abs(x) - 0.5, 0.0), x),
    "hard_shrink": lambda x: x if abs(x) > 0.5 else 0.0,
    "squareplus": lambda x: (x + math.sqrt(x * x + 4)) / 2,
    "min_gru_g": lambda x: x + 0.5 if x >= 0 else sigmoid(x),
}

WITH_ALPHA: dict[str, Callable[[float], float]] = {
    "leaky_relu": lambda x: x if x > 0 else 0.3 * x,
    "thresholded_relu": lambda x: x if x > np.float32(0.3) else 0.0,
    "elu": lambda x: x if x > 0 else 0.3 * math.expm1(x),
    "celu": lambda x: max(x, 0.0) + min(0.0, 0.3 * math.expm1(x / 0.3)),
    "soft_shrink": lambda x: math.copysign(max(abs(x) - 0.3, 0.0), x),
    "hard_shrink": lambda x: x if abs(x) > np.float32(0.3) else 0.0,
    "squareplus": lambda x: (x + math.sqrt(x * x + 0.3)) / 2,
}


WITH_BOTH: dict[str, Callable[[float], float]] = {  # alpha 0.3, beta 0.4
    "affine": lambda x: 0.3 * x + 0.4,
    "scaled_tanh": lambda x: 0.3 * math.tanh(0.4 * x),
    "clipped_affine": lambda x: clip(0.3 * x + 0.4, 0, 1),
}

OVER_FEATURES = ("softmax", "log_softmax")


def compare(activation: Activation, definition: Callable[[float], float]) -> None:
    actual = resolve(activation)(torch.tensor(POINTS)).numpy()
    np.testing.assert_allclose(actual, [definition(x) for x in POINTS], rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
def test_definition(name: ActivationName) -> None:
    compare(Activation(name=name), DEFINITIONS[name])


@pytest.mark.parametrize("name", sorted(WITH_ALPHA))
def test_alpha(name: ActivationName) -> None:
    compare(Activation(name=name, alpha=0.3), WITH_ALPHA[name])


@pytest.mark.parametrize("name", sorted(WITH_BOTH))
def test_alpha_and_beta(name: ActivationName) -> None:
    activation = Activation(name=name, alpha=0.3, beta=0.4)
    compare(activation, WITH_BOTH[name])
    found = reference(activation, np.array(POINTS))
    np.testing.assert_allclose(found, [WITH_BOTH[name](x) for x in POINTS], rtol=1e-12)
    x = torch.tensor(POINTS)
    resolve(activation)(x)
    assert x.tolist() == torch.tensor(POINTS).tolist()


def test_those_of_two_numbers_say_both_and_others_no_second() -> None:
    assert set(WITH_BETA) == WITH_BOTH.keys()
    with pytest.raises(ValidationError, match="'affine' needs an alpha and a beta"):
        Activation(name="affine", alpha=2.0)
    with pytest.raises(ValidationError, match="'elu' takes no beta"):
        Activation(name="elu", alpha=1.0, beta=0.5)


def test_every_name_of_the_description_has_a_definition_here() -> None:
    assert {*DEFINITIONS, *WITH_BOTH, *OVER_FEATURES} == set(get_args(ActivationName))


def test_softmax_is_over_the_last_axis() -> None:
    rows = torch.tensor([[0.0, 1.0, 2.0], [5.0, 5.0, 5.0]])
    expected = np.exp(rows.numpy()) / np.exp(rows.numpy()).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(resolve(Activation(name="softmax"))(rows).numpy(), expected, rtol=1e-6)


def test_log_softmax_is_the_logarithm_of_softmax() -> None:
    rows = torch.tensor([[0.0, 1.0, 2.0], [500.0, 5.0, -500.0]])
    expected = rows.double().softmax(dim=1).numpy()
    found = resolve(Activation(name="log_softmax"))(rows)
    np.testing.assert_allclose(found[0].exp().numpy(), expected[0], rtol=1e-6)
    assert found[1].tolist() == [0.0, -495.0, -1000.0]  # where a softmax is zero its logarithm is none


@pytest.mark.parametrize("name", sorted({*DEFINITIONS, *OVER_FEATURES}))
def test_the_argument_is_left_as_it_was(name: ActivationName) -> None:
    x = torch.tensor(POINTS)
    resolve(Activation(name=name))(x)
    assert x.tolist() == torch.tensor(POINTS).tolist()


@pytest.mark.parametrize("name", sorted({*DEFINITIONS, *OVER_FEATURES} - WITH_ALPHA.keys()))
def test_an_alpha_where_there_is_none_is_refused(name: ActivationName) -> None:
    with pytest.raises(InvalidSpec, match=f"activation {name!r} takes no alpha, but 0.3 was given"):
        resolve(Activation(name=name, alpha=0.3))
