"""A repository in Google Cloud Storage, whose conditions name generations where others name ETags."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellserve.service.registry.repository.remote.bucket import Bucket
from cellserve.service.registry.repository.remote.objects import Overtaken
from cellserve.service.registry.repository.remote.store import Store
from cellserve.service.registry.repository.repository import Repository
from tests.service.registry.fakes import imported, passing_gate
from tests.service.registry.repository.remote.google import google

URL = "gs://models/of/ours"


def test_machines_share_a_repository_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with google() as key:
        monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", key)
        here, there = (
            Repository(Bucket(Store.at(URL), tmp_path / name, 1 << 30, poll_seconds=5.0), gate=passing_gate)
            for name in ("here", "there")
        )
        for turn, machine in enumerate((here, there, here)):
            machine.publish("digits", imported(turn), alias=f"alias-{turn}")
        there.refresh()
        assert there.aliases("digits") == {"alias-0": 1, "alias-1": 2, "alias-2": 3}
        assert there.weights("digits", 3).digest == imported(2).weights.digest


def test_whoever_was_overtaken_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with google() as key:
        monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", key)
        here, there = Store.at(URL), Store.at(URL)
        mark = here.write("ledger", b"1", None)
        assert here.list("")["ledger"].mark == mark
        with pytest.raises(Overtaken):
            there.write("ledger", b"2", None)
        found = there.get("ledger")
        assert found is not None
        there.write("ledger", b"2", found.mark)
        with pytest.raises(Overtaken):
            here.write("ledger", b"3", mark)
