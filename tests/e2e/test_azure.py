"""A repository in Azure Blob Storage: publishers at once, and a server that serves what they publish."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from cellserve.service.client import Client
from cellserve.service.registry.manifest import ModelRef
from cellserve.service.registry.repository.remote.bucket import Bucket
from cellserve.service.registry.repository.remote.store import Store
from cellserve.service.registry.repository.repository import Repository
from cellserve.service.registry.verifying import verify
from tests.e2e.azure import azure
from tests.service.processes import SERVE, Process, ended_processes
from tests.service.registry.fakes import imported

pytestmark = pytest.mark.e2e

URL = "az://models/of/ours"
EACH = 4  # versions of each publisher


def test_publishers_and_a_server_share_a_repository_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with azure("models") as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

        def machine(name: str) -> Repository:
            return Repository(Bucket(Store.at(URL), tmp_path / name, 1 << 30, poll_seconds=5.0))

        def publish(publisher: str) -> None:
            repository = machine(publisher)
            for number in range(EACH):
                repository.publish("digits", imported(len(publisher) + number), alias=f"{publisher}-{number}")

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(publish, ("here", "yonder")))
        seen = machine("elsewhere")
        seen.refresh()
        assert seen.versions("digits") == list(range(1, 2 * EACH + 1))
        assert sorted(seen.aliases("digits").values()) == seen.versions("digits")
        assert [verdict.problem for verdict in verify(seen, ModelRef("digits"))] == [""] * 2 * EACH
        program = f"import os; os.environ['CELLSERVE_REPOSITORY'] = {URL!r}; {SERVE}"
        with ended_processes() as processes:
            processes.append(server := Process(tmp_path / "none", program, repository_cache_folder=tmp_path / "cache"))
            with Client(f"127.0.0.1:{server.ready()[0]}") as client:
                answers = {
                    alias: client.predict(f"digits@{alias}", np.ones((4, 3), np.float32)) for alias in ("here-0", "yonder-0")
                }
                client.promote("digits", 1)
                assert client.run("digits", np.ones((4, 3), np.float32)).version == 1
        assert not np.array_equal(*answers.values())
        seen.refresh()
        assert seen.aliases("digits")["stable"] == 1
