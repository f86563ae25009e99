"""Copies of repositories where fsspec can read them: served from, told when they change or go, and never written to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from obstore.store import MemoryStore

from cellserve.service.errors import RepositoryAway, RepositoryError
from cellserve.service.registry.manifest import ModelRef
from cellserve.service.registry.repository.remote.opening import home_at
from cellserve.service.registry.repository.remote.read_only import ReadOnlyStore
from cellserve.service.registry.repository.repository import Repository
from tests.service.registry.fakes import imported, passing_gate, weights
from tests.service.registry.repository.remote.fakes import Machine


@pytest.fixture(params=["memory", "local"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of a place of fsspec's own file systems."""
    yield "memory://copies/models" if request.param == "memory" else f"local://{tmp_path}/copies"
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def publisher(tmp_path: Path) -> Machine:
    return Machine(MemoryStore(), tmp_path / "publisher")


def copy(publisher: Machine, url: str) -> None:
    """As a program for copies does."""
    files, root = fsspec.core.url_to_fs(url)
    for path in publisher.objects.list(""):
        if not path.startswith("checks/"):
            files.makedirs(f"{root}/{path}".rpartition("/")[0], exist_ok=True)
            stored = publisher.objects.get(path)
            assert stored is not None
            files.pipe_file(f"{root}/{path}", stored.content)


def opened(url: str, folder: Path) -> Repository:
    address: dict[str, Any] = {"url": url, "folder": str(folder), "cache_bytes": 1 << 30, "poll_seconds": 5.0}
    repository = Repository(home_at(address), gate=passing_gate)
    repository.refresh()
    return repository


def test_a_copy_is_read_and_followed(publisher: Machine, url: str, tmp_path: Path) -> None:
    publisher.repository.publish("digits", imported(3), alias="stable")
    copy(publisher, url)
    here = opened(url, tmp_path / "mirror")
    assert here.models() == ["digits"]
    assert here.weights("digits", 1).digest == weights(3).digest
    publisher.repository.publish("digits", imported(4), alias="stable")
    copy(publisher, url)
    here.refresh()
    assert here.aliases("digits") == {"stable": 2}
    assert here.weights("digits", 2).digest == weights(4).digest


CHANGES: dict[str, Callable[[Repository], object]] = {
    "publish": lambda here: here.publish("digits", imported(5)),
    "promote": lambda here: here.set_alias("digits", "canary", 1),
    "remove a version": lambda here: here.remove(ModelRef("digits", version=2)),
    "remove a model": lambda here: here.remove(ModelRef("digits")),
    "walk": lambda here: here.walker("digits").__enter__(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_would_change_it_is_refused(publisher: Machine, url: str, tmp_path: Path, change: str) -> None:
    publisher.repository.publish("digits", imported(), alias="stable")
    publisher.repository.publish("digits", imported(1))
    copy(publisher, url)
    files, root = fsspec.core.url_to_fs(url)
    before = files.find(root)
    with pytest.raises(RepositoryError, match=r"can only be read: fsspec promises no writes under a condition.*Publish to"):
        CHANGES[change](opened(url, tmp_path / "mirror"))
    assert files.find(root) == before


def test_what_is_gone_is_away_and_what_was_fetched_stays(publisher: Machine, url: str, tmp_path: Path) -> None:
    publisher.repository.publish("digits", imported(3), alias="stable")
    copy(publisher, url)
    here = opened(url, tmp_path / "mirror")
    here.weights("digits", 1)
    files, root = fsspec.core.url_to_fs(url)
    files.rm(root, recursive=True)
    with pytest.raises(RepositoryAway, match="holds no models: no repository was copied there, or it is away"):
        here.refresh()
    assert here.weights("digits", 1).digest == weights(3).digest


def test_a_damaged_copy_is_told(publisher: Machine, url: str, tmp_path: Path) -> None:
    publisher.repository.publish("digits", imported(3), alias="stable")
    copy(publisher, url)
    files, root = fsspec.core.url_to_fs(url)
    (path,) = files.glob(f"{root}/content/digits/*/weights.safetensors")
    files.pipe_file(path, bytes(files.cat_file(path))[:-1])
    with pytest.raises(RepositoryError, match="is not what was published"):
        opened(url, tmp_path / "mirror").weights("digits", 1)


def test_a_place_that_says_nothing_of_its_files_is_read_each_time(tmp_path: Path) -> None:
    class Silent(ReadOnlyStore):
        """Listed as web servers do it: names alone."""

        def _mark_listed(self, path: str, info: Any) -> str:
            return super()._mark_listed(path, {"name": info["name"], "size": None})

    (tmp_path / "models/digits").mkdir(parents=True)
    store, file = Silent(f"local://{tmp_path}"), tmp_path / "models/digits/ledger.json"
    marks = []
    for content in (b"one", b"two", b"two"):
        file.write_bytes(content)
        marks.append(store.list("models")["models/digits/ledger.json"].mark)
    assert marks[0] != marks[1] == marks[2]
    assert store.get("models/digits/ledger.json") == (b"two", marks[2])


@pytest.mark.parametrize(
    ("url", "words"),
    [("s4://bucket/models", "nothing here reads s4://"), ("sftp://host/models", "sftp://host/models cannot be read")],
)
def test_what_nothing_reads_is_told_in_a_sentence(url: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "paramiko", None)
    with pytest.raises(RepositoryError, match=words):
        ReadOnlyStore.at(url)
