"""The same word in files of different years."""

from __future__ import annotations

import pytest

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.keras.configuration.era import Era
from cellserve.models.importers.keras.layers.records import BY_CLASS


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
        ("1.2.2", "hard_sigmoid", "hard_sigmoid", "keras"),
    ],
)
def test_activations_and_names(version: str, hard_sigmoid: str, recurrent_activation: str, framework: str) -> None:
    found = era(version)
    assert found.hard_sigmoid == hard_sigmoid
    assert found.default_recurrent_activation("hard_sigmoid") == recurrent_activation
    assert found.default_activation("sigmoid") == "tanh"
    assert found.framework == framework


def test_defaults_of_the_first_year() -> None:
    def activation(version: str, name: str) -> str:
        return era(version).default_activation(BY_CLASS[name].default)

    def recurrent_activation(version: str, name: str) -> str:
        return era(version).default_recurrent_activation(BY_CLASS[name].default_recurrent or "")

    names = ("SimpleRNN", "GRU", "LSTM", "JZS1")
    assert [activation("0.3.2", name) for name in names] == ["sigmoid", "sigmoid", "tanh", "tanh"]
    assert activation("0.3.3", "GRU") == "tanh"
    assert recurrent_activation("0.2.0", "JZS2") == "sigmoid"
    assert recurrent_activation("0.2.0", "SimpleDeepRNN") == "hard_sigmoid"


@pytest.mark.parametrize(
    ("version", "sequences", "last"),
    [
        ("0.1.0", "ignore", "ignore"),
        ("0.1.1", "ignore", "ignore"),
        ("0.1.2", "reset", "reset"),
        ("0.2.0", "reset", "reset"),
        ("0.3.0", "zero_or_empty", "ignore"),
        ("0.3.1", "zero_or_empty", "ignore"),
        ("0.3.2", "repeat", "repeat"),
        ("1.0.7", "repeat", "repeat"),
        ("1.0.8", "repeat_from_state", "repeat_from_state"),
    ],
)
def test_masked_steps_of_the_first_years(version: str, sequences: str, last: str) -> None:
    rules = [
        era(version).mask_rule(unroll=False, zero_output_for_mask=False, return_sequences=returned) for returned in (True, False)
    ]
    assert rules == [sequences, last]


def test_what_else_changed_in_the_first_years() -> None:
    assert [era(version).scales_dropout_outside_training for version in ("0.2.0", "0.3.0")] == [True, False]
    assert [era(version).keeps_deviations for version in ("0.3.3", "1.0.5", "1.0.6", "2.0.0")] == [True, True, False, False]


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
    found = era(version, backend)
    assert found.mask_rule(unroll=unroll, zero_output_for_mask=False, return_sequences=True) == rule
    assert found.mask_rule(unroll=unroll, zero_output_for_mask=True, return_sequences=True) == "zero"


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
    [(None, "not say which"), ("nightly", "not say which"), ("4.0.0", "not known here"), ("0.0.9", "not known here")],
)
def test_versions_without_a_known_meaning(version: str | None, said: str) -> None:
    with pytest.raises(ImportRefused, match=said):
        Era.of(version, "tensorflow", "model.h5")
