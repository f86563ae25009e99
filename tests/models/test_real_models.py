"""Models that people trained and published, beside what their own software answered: large weights, not random ones."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from cellserve.models.errors import ImportRefused
from cellserve.models.implementations import IN_BFLOAT16, LABELS
from cellserve.models.importers import ImportedModel, load
from cellserve.models.measuring import parity
from cellserve.models.network import Network
from tests.compiled import BFLOAT16
from tests.golden.cases import GoldenCall, GoldenCase
from tests.golden.run import Answer, by_network, by_network_in_chunks, by_oracle, pairs

REAL = Path(__file__).parents[1] / "golden" / "real"


def text_generator() -> GoldenCase:
    """textgenrnn's trunk: ids of characters to the sequence of its second LSTM."""
    with np.load(REAL / "textgenrnn_io.npz") as stored:
        call = GoldenCall((stored["x"][:2],), (stored["rnn_2"],), {})
    return GoldenCase("textgenrnn", REAL / "textgenrnn_trunk_embedding_2lstm.h5", None, None, (call,), atol=2e-5, rtol=1e-5)


def speaker_encoder() -> GoldenCase:
    """Resemblyzer's VoiceEncoder: mel frames to a vector of length 1; the final states of its three LSTMs too."""
    with np.load(REAL / "resemblyzer_io.npz") as stored:
        states = {f"{layer}.{state}": stored[f"{state}_n"][layer] for layer in range(3) for state in "hc"}
        call = GoldenCall((stored["x"],), (stored["y"],), states)
    description = REAL / "resemblyzer.description.yaml"
    return GoldenCase("resemblyzer", REAL / "resemblyzer_state_dict.pt", None, description, (call,), atol=1e-5, rtol=1e-5)


CASES = {case.name: case for case in (text_generator(), speaker_encoder())}


@cache
def loaded(name: str) -> ImportedModel:
    return CASES[name].load()


@cache
def network(name: str) -> Network:
    return Network(loaded(name).spec, loaded(name).weights)


def assert_as_the_original(case: GoldenCase, answers: list[Answer]) -> None:
    for what, expected, found in pairs(case, answers):
        np.testing.assert_allclose(found, expected, rtol=case.rtol, atol=case.atol, err_msg=f"{case.name}: {what}")


@pytest.mark.parametrize("name", CASES)
def test_the_oracle_gives_the_numbers_of_the_original(name: str) -> None:
    assert_as_the_original(CASES[name], by_oracle(CASES[name], loaded(name)))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("label", LABELS)
def test_every_implementation_gives_them_whole_and_in_chunks(name: str, label: str) -> None:
    assert network(name).implementations[label] is None
    assert_as_the_original(CASES[name], by_network(CASES[name], network(name), label))
    assert_as_the_original(CASES[name], by_network_in_chunks(CASES[name], network(name), label))


@pytest.mark.parametrize("name", CASES)
def test_the_publishing_gate_lets_them_through(name: str) -> None:
    report = parity.check(loaded(name).spec, loaded(name).weights)
    assert report.differences.keys() == {*LABELS, *([IN_BFLOAT16] if BFLOAT16 else [])}


def test_what_the_encoder_does_not_use_must_be_named() -> None:
    """Nothing of a state dict is left out in silence."""
    with pytest.raises(ImportRefused, match=r"similarity_bias, similarity_weight.*`ignore`"):
        load(REAL / "resemblyzer_state_dict.pt")
    assert "Ignored, as the description says: similarity_weight, similarity_bias." in loaded("resemblyzer").notes
