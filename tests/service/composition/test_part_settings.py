"""The server's settings as each of its parts wants them."""

from __future__ import annotations

from pathlib import Path

from cellserve.service.composition import part_settings
from cellserve.service.config import Settings


def test_live_sequences_lie_beside_the_models_unless_a_store_has_them(tmp_path: Path) -> None:
    alone = part_settings.session_settings(Settings(repository=tmp_path))
    assert (alone.directory, alone.shared, alone.replica) == (tmp_path / ".sessions", False, "")
    shared = part_settings.session_settings(
        Settings(repository=tmp_path, session_store="valkey://127.0.0.1:6379", replica_name="left")
    )
    assert (shared.directory, shared.durable_every, shared.shared, shared.replica) == (None, None, True, "left")


def test_as_many_workers_as_are_asked_for(tmp_path: Path) -> None:
    assert part_settings.engine_settings(Settings(repository=tmp_path, workers=3)).workers == 3
    assert part_settings.engine_settings(Settings(repository=tmp_path)).workers >= 1


def test_a_replica_has_a_name_of_its_own_unless_it_is_given_one(tmp_path: Path) -> None:
    assert part_settings.replica_name(Settings(repository=tmp_path, port=8101)).endswith(":8101")
    assert part_settings.replica_name(Settings(repository=tmp_path, replica_name="left")) == "left"
