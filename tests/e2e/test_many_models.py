"""A server of many models that are loaded on demand, held against one of a single model; and how soon a rollback answers.

MANY_MODELS and ROLLBACKS in the environment say how many.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import time
from pathlib import Path

import numpy as np
import pytest

from cellserve.service.client import Client
from cellserve.service.registry.repository.repository import Repository
from deploy.demo.server import Server
from tests.service.registry.fakes import imported

pytestmark = pytest.mark.e2e

MODELS = int(os.environ.get("MANY_MODELS", 1000))
ROLLBACKS = int(os.environ.get("ROLLBACKS", 40))
STEPS = np.ones((4, 3), np.float32)


def repository_of(root: Path, models: int) -> Path:
    """One version of each of `m0`, `m1` …, all of the same weights, which every folder has as its own."""
    Repository(root).publish("m0", imported(), alias="stable")
    manifest = json.loads((root / "m0/1/manifest.json").read_text())
    for number in range(1, models):
        name = f"m{number}"
        shutil.copytree(root / "m0", root / name, ignore=shutil.ignore_patterns("manifest.sha256"))
        (root / name / "1/manifest.json").write_text(json.dumps(manifest | {"model": name}))
    return root


def test_many_models_start_at_once_and_each_answers_when_it_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ready_seconds = []
    for models in (1, MODELS):
        root = repository_of(tmp_path / str(models), models)
        began = time.perf_counter()
        with Server(root, tmp_path / "server.log", "--load", "on-demand") as address, Client(address.url) as client:
            ready_seconds.append(time.perf_counter() - began)
            began = time.perf_counter()
            listed = client.versions()
            listing_seconds = time.perf_counter() - began
            assert [version.state for version in listed] == ["UNKNOWN"] * models
            last = f"m{models - 1}"
            np.testing.assert_array_equal(client.predict(last, STEPS), client.predict("m0", STEPS))
            assert {version.model for version in client.versions() if version.state == "READY"} == {"m0", last}
    with capsys.disabled():
        ratio = ready_seconds[1] / ready_seconds[0]
        print(f"\n{MODELS} models: ready after {ratio:.2f} times what one takes; listed in {listing_seconds:.3f} s")


def test_a_rollback_is_answered_by_the_version_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Repository(tmp_path / "repository")
    for seed, alias in ((0, "stable"), (1, None)):
        store.publish("digits", imported(seed), alias=alias)
    took = []
    with Server(store.root, tmp_path / "server.log") as address, Client(address.url) as client:
        for number in range(ROLLBACKS):
            version = 2 - number % 2
            began = time.perf_counter()
            client.promote("digits", version)
            assert client.run("digits", STEPS).version == version
            took.append(time.perf_counter() - began)
    with capsys.disabled():
        print(f"\nfirst answer {statistics.median(took) * 1e3:.1f} ms after the call, at most {max(took) * 1e3:.1f} ms")
