import json
import os
from pathlib import Path

import pytest

from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import RepositoryError
from cellserve.service.registry.repository.repository import Repository
from cellserve.service.registry.repository.summaries import SUMMARIES_FILE, Summaries, Summary
from tests.service.registry.fakes import imported, repository

KEYS = [VersionKey("digits", 1), VersionKey("digits", 2)]


class Counting(Repository):
    """read: the manifests that were, in order."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.read: list[int] = []

    def manifest(self, model, version):  # type: ignore[no-untyped-def]
        self.read.append(version)
        return super().manifest(model, version)


def listed(root: Path) -> tuple[list[int], list[Summary]]:
    """Which manifests were read, and what was told."""
    store = Counting(root)
    summaries = Summaries(store)
    told = [summaries.of(key, store.fingerprint(key)) for key in KEYS]
    summaries.keep(KEYS)
    return store.read, told


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for _ in KEYS:
        repository(tmp_path).publish("digits", imported())
    return tmp_path


def test_manifests_are_read_once(root: Path) -> None:
    read, told = listed(root)
    assert (read, told[0].framework) == ([1, 2], "keras 2.2.4")
    assert listed(root) == ([], told)


def test_a_manifest_that_is_another_file_is_read_again(root: Path) -> None:
    listed(root)
    path = root / "digits/2/manifest.json"
    os.utime(path, ns=(1, 1))
    assert listed(root)[0] == [2]
    path.write_text("{")
    with pytest.raises(RepositoryError, match="is damaged"):
        listed(root)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"digits/1": 3}', '{"digits/1": [[], "x"]}'])
def test_what_was_kept_and_is_damaged_is_made_anew(root: Path, content: str) -> None:
    _, told = listed(root)
    (root / SUMMARIES_FILE).write_text(content)
    assert listed(root) == ([1, 2], told)
    assert listed(root) == ([], told)


def test_what_is_gone_is_not_kept(root: Path) -> None:
    listed(root)
    Summaries(repository(root)).keep(KEYS[:1])
    assert list(json.loads((root / SUMMARIES_FILE).read_text())) == ["digits/1"]


def test_where_it_cannot_be_written_it_is_done_without(root: Path) -> None:
    (root / SUMMARIES_FILE).mkdir()
    assert listed(root)[0] == listed(root)[0] == [1, 2]
