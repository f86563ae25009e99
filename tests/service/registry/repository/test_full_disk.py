"""A disk without a free byte: on a small file system of memory where the system lets us mount one, and on a fake."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from cellserve.models.weights import Weights
from cellserve.service import disk
from cellserve.service.errors import RepositoryError
from cellserve.service.registry.manifest import ModelRef
from tests.service.registry.fakes import imported, repository
from tests.service.small_disk import fill


def too_large() -> Weights:
    return Weights.of({"a": np.zeros(500_000)})


def test_weights_that_do_not_fit_are_an_error_of_the_system(small: Path) -> None:
    with pytest.raises(OSError, match="No space left on device") as failure:
        too_large().save(small / "weights.safetensors")
    assert failure.value.errno == errno.ENOSPC


def test_a_publish_on_a_full_disk_is_one_sentence_and_leaves_nothing(small: Path) -> None:
    store = repository(small / "repository")
    store.publish("digits", imported(), alias="stable")
    fill(small)
    with pytest.raises(RepositoryError, match=r"digits cannot be published in .*: No space left on device"):
        store.publish("digits", imported())
    assert store.versions("digits") == [1]
    assert [entry.name for entry in store.root.iterdir()] == ["digits"]


def test_versions_aliases_and_models_can_be_removed_on_a_full_disk(small: Path) -> None:
    store = repository(small)
    for _ in range(3):
        store.publish("digits", imported())
    for alias in ("stable", "canary"):
        store.set_alias("digits", alias, 1)
    fill(small)
    store.remove(ModelRef("digits", alias="canary"))
    assert store.aliases("digits") == {"stable": 1}
    store.remove(ModelRef("digits", version=3))
    assert store.versions("digits") == [1, 2]
    (small / "ballast").unlink()
    assert store.publish("digits", imported()).version == 4
    fill(small)
    store.remove(ModelRef("digits"))
    assert store.models() == []


def test_an_alias_can_be_moved_on_a_full_disk(small: Path) -> None:
    store = repository(small)
    for alias in ("stable", None):
        store.publish("digits", imported(), alias=alias)
    fill(small)
    store.set_alias("digits", "stable", 2)
    assert store.aliases("digits") == {"stable": 2}


def no_room(path: Path, content: bytes) -> None:
    """As if nothing new fitted, however small."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def test_removing_needs_no_room_and_gives_no_number_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = repository(tmp_path)
    for _ in range(2):
        store.publish("digits", imported(), alias="stable")
    store.set_alias("digits", "stable", 1)
    monkeypatch.setattr(disk, "write_file", no_room)
    store.remove(ModelRef("digits", version=2))
    store.remove(ModelRef("digits", alias="stable"))
    assert (store.versions("digits"), store.aliases("digits")) == ([1], {})
    (kept,) = (tmp_path / "digits").glob(".removed-2-*")
    assert list(kept.iterdir()) == []
    monkeypatch.undo()
    assert store.publish("digits", imported()).version == 3
    assert not kept.exists()
    store.remove(ModelRef("digits", version=3))
    assert store.publish("digits", imported()).version == 4
