"""The same word in files of different years."""

from __future__ import annotations

import pytest

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.keras_era import Era


def era(version: str, backend: str = "tensorflow") -> Era:
    return Era.of(version, backend, "model.h5")


@pytest.mark.parametrize(
    ("version", "hard_sigmoid", "recurrent_activation", "framework"),
    [
        ("2.0.5", "hard_sigmoid", "hard_sigmoid", "keras"),
        ("2.2.4-tf", "hard_sigmoid", "hard_sigmoid", "tf.keras"),
        ("2.3.0", "hard_sigmoid", "sigmoid", "keras"),
        ("2.3.0-tf", "hard_sigmoid", "sigmoid", "tf.keras"),
        ("2.15.0", "hard_sigmoid", "sigmoid", "tf.keras"),
        ("3.0.0", "hard_sigmoid_relu6", "sigmoid", "keras"),
    ],
)
def test_activations_and_names(version: str, hard_sigmoid: str, recurrent_activation: str, framework: str) -> None:
    found = era(version)
    assert (found.hard_sigmoid, found.default_recurrent_activation, found.framework) == (
        hard_sigmoid,
        recurrent_activation,
        framework,
    )


@pytest.mark.parametrize(
    ("version", "backend", "unroll", "rule"),
    [
        ("2.2.4", "tensorflow", False, "repeat_from_state"),
        ("2.2.4", "tensorflow", True, "repeat"),
        ("2.2.4", "theano", False, "repeat"),
        ("2.3.1", "tensorflow", False, "repeat"),
        ("2.2.4-tf", "tensorflow", False, "repeat"),
        ("2.11.0", "tensorflow", False, "repeat"),
        ("3.1.0", "", False, "repeat"),
    ],
)
def test_masked_steps(version: str, backend: str, unroll: bool, rule: str) -> None:
    assert era(version, backend).mask_rule(unroll=unroll, zero_output_for_mask=False) == rule
    assert era(version, backend).mask_rule(unroll=unroll, zero_output_for_mask=True) == "zero"


def test_which_bidirectional_layers_force_zeros() -> None:
    forcing = {
        version: era(version).bidirectional_zeroes_masked_sequences
        for version in ("2.2.4", "2.3.1", "2.2.4-tf", "2.9.0", "3.0.0")
    }
    assert forcing == {"2.2.4": False, "2.3.1": False, "2.2.4-tf": True, "2.9.0": True, "3.0.0": True}


def test_attributes_may_be_bytes() -> None:
    assert Era.of(b"2.2.4", b"theano", "f").backend == "theano"


@pytest.mark.parametrize(
    ("version", "said"),
    [("1.2.2", "not supported yet"), (None, "not say which"), ("nightly", "not say which"), ("4.0.0", "newer")],
)
def test_versions_without_a_known_meaning(version: str | None, said: str) -> None:
    with pytest.raises(ImportRefused, match=said):
        Era.of(version, "tensorflow", "model.h5")
