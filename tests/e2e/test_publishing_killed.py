"""Servers and publishers killed at any moment of a publication over the wire, and publications under a load of requests.

PUBLISH_KILLS says how often something is killed, PUBLISH_SWAPS how many versions are published and promoted under the load.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from cellserve.models import reference
from cellserve.models.importers import ImportedModel, Source
from cellserve.models.importers.isolated import leave
from cellserve.service.client import AsyncClient
from cellserve.service.registry.manifest import ModelRef
from cellserve.service.registry.publishing.uploads import UPLOADS_FOLDER
from cellserve.service.registry.repository.repository import Repository
from cellserve.service.registry.verifying import verify
from tests.service.processes import Process, ended_processes
from tests.service.registry.fakes import SPEC, FakeSource, weights

pytestmark = pytest.mark.e2e

KILLS = int(os.environ.get("PUBLISH_KILLS", 12))
SWAPS = int(os.environ.get("PUBLISH_SWAPS", 20))
LONGEST_SECONDS = 3.0  # of an undisturbed publication, about
PUBLISHER = """
import sys
from pathlib import Path
from cellserve.service.client import Client
with Client(sys.argv[1]) as client:
    client.publish("digits", Path(sys.argv[2]))
"""


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    with ended_processes() as started:
        yield started


def left(folder: Path, seed: int) -> Path:
    """An import of weights that each seed has of its own."""
    folder.mkdir()
    leave(ImportedModel(SPEC, weights(seed), Source(**asdict(FakeSource()))), folder)
    return folder


def require_whole(repository: Path, most: int) -> list[int]:
    """The versions, each of which could be served, of weights of its own; without a gap, and `most` at the most."""
    store = Repository(repository)
    if not store.models():
        return []
    verdicts = list(verify(store, ModelRef("digits")))
    assert [verdict.problem for verdict in verdicts] == [""] * len(verdicts)
    numbers = store.versions("digits")
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) <= most
    digests = {store.manifest("digits", number).weights_digest for number in numbers}
    assert len(digests) == len(numbers)  # of each publication one version at most
    return numbers


@pytest.mark.parametrize("killed", ["publisher", "server"])
def test_a_publication_becomes_one_version_or_none_whoever_is_killed(
    killed: str, tmp_path: Path, processes: list[Process]
) -> None:
    """And the next attempt at it goes on, whatever was left."""
    randomly = random.Random(5)
    repository = tmp_path / "repository"
    server = Process(repository)
    processes.append(server)
    port = server.ready()[0]
    for number in range(1, KILLS + 1):
        folder = left(tmp_path / f"import-{number}", number)
        publisher = subprocess.Popen([sys.executable, "-c", PUBLISHER, f"127.0.0.1:{port}", str(folder)])
        try:
            publisher.wait(randomly.uniform(0.2, LONGEST_SECONDS))
        except subprocess.TimeoutExpired:
            if killed == "server":
                server.process.kill()
                server.process.wait()
        publisher.kill()
        publisher.wait()
        if server.process.poll() is not None:
            server.end()
            server = Process(repository)
            processes.append(server)
            port = server.ready()[0]
        require_whole(repository, number)
        subprocess.run([sys.executable, "-c", PUBLISHER, f"127.0.0.1:{port}", str(folder)], check=True, timeout=120)
        assert len(require_whole(repository, number)) == number
    assert list((repository / UPLOADS_FOLDER).iterdir()) == []


async def test_versions_come_and_answer_under_a_load_and_nobody_notices(tmp_path: Path, processes: list[Process]) -> None:
    """Every answer is that of the version that it names, one-shot or live; no request fails."""
    server = Process(tmp_path / "repository", max_sessions=100)
    processes.append(server)
    address = f"127.0.0.1:{server.ready()[0]}"
    x = np.random.default_rng(3).normal(size=(6, 3)).astype(np.float32)
    right: dict[int, np.ndarray] = {}

    def learn(version: int, seed: int) -> None:
        outputs, _ = reference.run(SPEC, weights(seed).arrays, (x[None],), (len(x),))
        right[version] = outputs[0][0]

    answers = 0
    over = False

    async def one_shots(client: AsyncClient) -> None:
        nonlocal answers
        while not over:
            told = await client.run("digits", x)
            np.testing.assert_allclose(told.answer, right[told.version], atol=1e-4)
            answers += 1

    async def live(client: AsyncClient) -> None:
        nonlocal answers
        while not over:
            async with client.sequence("digits") as sequence:
                for step in x:
                    answer = await sequence.feed(step[None])
                np.testing.assert_allclose(answer, right[int(sequence.version)], atol=1e-4)
                answers += 1

    async with AsyncClient(address) as client:
        learn(1, 0)
        await client.publish("digits", left(tmp_path / "import-0", 0), alias="stable")
        load = [asyncio.create_task(kind(client)) for kind in (one_shots, live) for _ in range(4)]
        try:
            for number in range(1, SWAPS + 1):
                learn(number + 1, number)
                made = await client.publish("digits", left(tmp_path / f"import-{number}", number))
                new = made.version.version
                for version, share in ((new, 0.5), (new, 1.0), (number, 1.0), (new, 1.0)):
                    await client.promote("digits", version, share=share)
                before = answers
                while answers < before + 20 and not any(task.done() for task in load):
                    await asyncio.sleep(0.01)
        finally:
            over = True
            done = await asyncio.gather(*load, return_exceptions=True)
    assert [each for each in done if each is not None] == []
    assert answers >= 20 * SWAPS
