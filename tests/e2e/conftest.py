"""One repository and one real server for the whole run; questions for it in a file that foreign clients can read.

E2E_REPLICAS in the environment puts so many servers in its place, behind the Envoy of `cellserve cluster up`; what is counted
then is that of the first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from deploy.demo.server import Address, Server
from tests.e2e.models import BIDIRECTIONAL_WIDTH, DEMO, STEPS_WIDTH, VOCABULARY, publish_all
from tests.service.cluster.running import Running

REPLICAS = int(os.environ.get("E2E_REPLICAS", 0))


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    publish_all(root)
    return root


@pytest.fixture(scope="session")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    if not REPLICAS:
        with Server(repository, tmp_path_factory.mktemp("log") / "server.log") as address:
            yield address
        return
    options = ("--repository", str(repository), "--replicas", str(REPLICAS))
    running = Running(tmp_path_factory.mktemp("cluster"), options, {})
    try:
        yield Address(running.url, running.replica(0)["metrics_url"])
    finally:
        running.end()


@pytest.fixture(scope="session")
def questions() -> dict[str, np.ndarray]:
    """The demo's held-out digits as they are; for each random model inputs [B, T, …] and `<model>_lengths` [B]."""
    numbers = np.random.default_rng(7)
    with np.load(DEMO / "digits-heldout.npz") as heldout:
        digits = dict(heldout)
    return digits | {
        "words": numbers.integers(0, VOCABULARY, (6, 11)),
        "words_lengths": np.array([11, 1, 4, 7, 2, 10]),
        "both_ways": numbers.normal(size=(5, 9, BIDIRECTIONAL_WIDTH)).astype(np.float32),
        "both_ways_lengths": np.array([3, 9, 1, 6, 9]),
        "steps": numbers.normal(size=(4, 8, STEPS_WIDTH)).astype(np.float32),
        "steps_lengths": np.array([8, 2, 5, 1]),
        "live": numbers.normal(size=(30, 12, STEPS_WIDTH)).astype(np.float32),  # sequences of the model `steps`, fed in pieces
    }


@pytest.fixture(scope="session")
def questions_file(questions: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("questions") / "questions.npz"
    np.savez(path, **questions)
    return path
