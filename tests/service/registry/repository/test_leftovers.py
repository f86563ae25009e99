import fcntl
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cellserve.service import disk
from cellserve.service.registry.manifest import ModelRef
from cellserve.service.registry.repository import leftovers
from tests.service.registry.fakes import imported, repository

ROOT = Path(__file__).parents[4]


def leave(folder: Path, name: str) -> Path:
    path = folder / name
    path.mkdir(parents=True)
    (path / "weights.safetensors").write_bytes(b"half")
    return path


def hidden(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob(".*")}


def test_what_killed_processes_left_is_removed_by_the_next_publish(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = repository(tmp_path)
    store.publish("digits", imported())
    leave(tmp_path, ".staging-1")
    leave(tmp_path, ".removed-2")
    (tmp_path / "digits" / ".staging-3").write_text('{"stable"')
    with caplog.at_level(logging.INFO):
        store.publish("digits", imported())
    assert hidden(tmp_path) == set()
    assert ".staging-1 was left by a process that was killed; it is removed" in caplog.text


def test_a_sweep_leaves_alone_what_somebody_holds_and_what_is_not_cellserves(tmp_path: Path) -> None:
    store = repository(tmp_path)
    store.publish("digits", imported())
    held, free = leave(tmp_path, ".staging-held"), leave(tmp_path, ".staging-free")
    leave(tmp_path, ".sessions")
    leave(tmp_path / "digits", ".snapshot")
    descriptor = os.open(held, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        store.sweep()
        assert held.is_dir()
        assert not free.exists()
    finally:
        os.close(descriptor)
    store.sweep()
    assert hidden(tmp_path) == {".sessions", "digits/.snapshot"}


def test_a_publish_holds_what_it_stages(tmp_path: Path) -> None:
    store = repository(tmp_path)
    swept: list[set[str]] = []
    model = imported()

    class Watched(type(model.weights)):  # type: ignore[misc]
        def save(self, path: Path) -> None:
            repository(tmp_path).sweep()
            swept.append(hidden(tmp_path))
            super().save(path)

    store.publish("digits", type(model)(weights=Watched(model.weights.arrays)))
    assert len(swept[0]) == 1
    assert store.versions("digits") == [1]


SLOW_PUBLISH = """
import sys, time
from pathlib import Path
from tests.service.registry.fakes import imported, repository
model = imported()
class Slow(type(model.weights)):
    def save(self, path):
        super().save(path)
        print("saved", flush=True)
        time.sleep(600)
repository(Path(sys.argv[1])).publish("digits", type(model)(weights=Slow(model.weights.arrays)))
"""


def test_what_a_process_stages_goes_only_when_it_was_killed(tmp_path: Path) -> None:
    store = repository(tmp_path)
    store.publish("digits", imported())
    child = subprocess.Popen([sys.executable, "-c", SLOW_PUBLISH, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "saved\n"
        assert store.publish("digits", imported()).version == 2
        (staged,) = tmp_path.glob(".staging-*")
    finally:
        child.kill()
        child.communicate()
    assert staged.is_dir()
    assert store.publish("digits", imported()).version == 3
    assert hidden(tmp_path) == set()


def test_the_number_of_a_version_whose_removal_was_cut_short_is_not_given_again(tmp_path: Path) -> None:
    store = repository(tmp_path)
    for _ in range(2):
        store.publish("digits", imported())
    (tmp_path / "digits/2").rename(tmp_path / "digits/.removed-2-0abc")
    assert store.versions("digits") == [1]
    assert store.publish("digits", imported()).version == 3
    assert hidden(tmp_path / "digits") == {".highest-version"}
    store.remove(ModelRef("digits", version=3))
    assert store.publish("digits", imported()).version == 4


def test_what_cannot_be_removed_is_told_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    leave(tmp_path, ".staging-1")

    def refuse(path: Path) -> None:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(disk, "delete", refuse)
    with caplog.at_level(logging.WARNING):
        leftovers.sweep(tmp_path)
        repository(tmp_path / "nowhere").sweep()
    assert "cannot be removed: Read-only file system" in caplog.text
    assert "nowhere cannot be locked" in caplog.text
