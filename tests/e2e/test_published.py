"""Trained networks out of packages from PyPI, imported as a user would and served: the answers of the packages' own code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cellserve.service.client import Client
from deploy.demo.server import Server
from tests.e2e.compose import ROOT, run
from tests.e2e.foreign import ForeignClient
from tests.e2e.venvs import interpreter

pytestmark = pytest.mark.e2e

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}  # trained weights, larger than random ones

PRONUNCIATION = """
inputs: [{name: letters, kind: ids}]
layout: torch
layers:
  - {kind: embedding, vocabulary: 29, units: 256, arrays: [enc_emb]}
  - {kind: gru, units: 256, reset_after: true, return_sequences: true, arrays: [enc_w_ih, enc_w_hh, enc_b_ih, enc_b_hh]}
ignore: [dec_*, fc_*]
"""
VOICE = """
inputs: [{name: features, width: 128}]
layout: torch
layers:
  - {kind: lstm, units: 128, return_sequences: true, arrays: [weight_ih, weight_hh, bias_ih, bias_hh]}
  - {kind: activation, activation: relu}
  - {kind: dense, units: 1, activation: sigmoid, arrays: [end_weight, end_bias]}
"""


@pytest.fixture(scope="module")
def empty_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("published")


@pytest.fixture(scope="module")
def python() -> Path:
    return interpreter("published")


def import_as(name: str, arrays: Path, description: str, repository: Path, folder: Path) -> None:
    written = folder / "description.yaml"
    written.write_text(description)
    options = ("--name", name, "--description", str(written), "--repository", str(repository), "--alias", "stable")
    run(str(ROOT / ".venv/bin/cellserve"), "import", str(arrays), *options)


def test_g2p_en_encodes_words(python: Path, empty_repository: Path, tmp_path: Path) -> None:
    """Whole words, and letter by letter."""
    answers = tmp_path / "answers.npz"
    told = ForeignClient(python, "published.py", (str(answers),)).run("pronounce")
    import_as("letters", Path(told["arrays"]), PRONUNCIATION, empty_repository, tmp_path)
    with np.load(answers) as stored, Server(empty_repository, tmp_path / "log") as address, Client(address.url) as client:
        words = [stored[f"ids_{index}"] for index in range(told["words"])]
        for index, found in enumerate(client.predict("letters", words)):
            np.testing.assert_allclose(found, stored[f"states_{index}"], **TOLERANCE)
            with client.sequence("letters") as s:
                spelled = [s.feed(letter) for letter in words[index]]
            np.testing.assert_allclose(spelled, stored[f"states_{index}"], **TOLERANCE)


def test_silero_vad_hears_voices(python: Path, empty_repository: Path, tmp_path: Path) -> None:
    """All chunks in one request; in two, with the state between them; and each as it comes, the server keeping the state."""
    arrays = tmp_path / "cell.npz"
    told = ForeignClient(python, "published.py", (str(arrays),)).run("detect_voice")
    import_as("voice", arrays, VOICE, empty_repository, tmp_path)
    features, (last_h, last_c) = np.array(told["features"], np.float32), told["state"]
    with Server(empty_repository, tmp_path / "log") as address, Client(address.url) as client:
        whole = client.run("voice", features, return_state=True)
        np.testing.assert_allclose(whole.answer, told["probabilities"], **TOLERANCE)
        begun = client.run("voice", features[:5], return_state=True)
        rest = client.run("voice", features[5:], initial_state=begun.state)
        np.testing.assert_allclose(rest.answer, told["probabilities"][5:], **TOLERANCE)
        with client.sequence("voice") as s:
            heard = [s.feed(chunk, return_state=True) for chunk in features]
        np.testing.assert_allclose([each.answer for each in heard], told["probabilities"], **TOLERANCE)
        np.testing.assert_allclose(heard[-1].state["0.h"][0], last_h, **TOLERANCE)
        np.testing.assert_allclose(heard[-1].state["0.c"][0], last_c, **TOLERANCE)
    probabilities = np.array(told["probabilities"])
    assert probabilities.max() - probabilities.min() > 0.1
