"""Which versions may go: never one that somebody may still ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellserve.service.registry.repository.model_on_disk import ModelOnDisk, read_model
from cellserve.service.registry.repository.pruning import apply_retention, prunable, stays
from cellserve.service.registry.repository.repository import Repository
from cellserve.service.registry.repository.served import Answered
from tests.service.registry.fakes import imported, repository


@pytest.fixture
def store(tmp_path: Path) -> Repository:
    """`digits` has the versions 1 to 6 and no alias."""
    store = repository(tmp_path / "repository")
    for _ in range(6):
        store.publish("digits", imported())
    return store


def model(store: Repository) -> ModelOnDisk:
    return read_model(store, "digits")


def test_the_newest_stay(store: Repository) -> None:
    assert prunable(model(store), 2) == [1, 2, 3, 4]
    assert prunable(model(store), 6) == prunable(model(store), 99) == []
    assert stays(model(store), 1) == {6: "one of the 1 newest"}


def test_what_an_alias_names_or_shares_stays(store: Repository) -> None:
    store.set_alias("digits", "stable", 2)
    store.set_alias("digits", "canary", 4)
    store.split_alias("digits", "canary", 3, 0.1)
    assert prunable(model(store), 1) == [1, 5]
    assert stays(model(store), 1)[3] == "alias canary"


def test_the_version_that_an_alias_left_last_stays(store: Repository) -> None:
    for version in (1, 2, 3):
        store.set_alias("digits", "stable", version)
    assert prunable(model(store), 1) == [1, 4, 5]
    assert stays(model(store), 1)[2] == "the way back of stable"


def test_what_a_server_would_fall_back_on_stays(store: Repository) -> None:
    store.write_served("digits", {"": Answered(versions=(2, 4, 3)), "stable": Answered(versions=(2, 1))})
    store.set_alias("digits", "stable", 2)
    assert prunable(model(store), 1) == [3, 5]
    assert stays(model(store), 1)[1] == "the way back of stable"


def test_what_is_pinned_stays(store: Repository) -> None:
    (store.root / "digits/model.yaml").write_text("pinned: [2, 9]")
    assert prunable(model(store), 1) == [1, 3, 4, 5]
    assert stays(model(store), 1)[2] == "pinned in model.yaml"


@pytest.mark.parametrize(("file", "text"), [("aliases.json", "{"), ("model.yaml", "pinned: 2")])
def test_nothing_goes_where_it_cannot_be_told_what_is_asked_for(store: Repository, file: str, text: str) -> None:
    (store.root / "digits" / file).write_text(text)
    assert prunable(model(store), 1) == []


def test_retention_is_what_the_owner_says(store: Repository) -> None:
    assert apply_retention(store, "digits") == []
    (store.root / "digits/model.yaml").write_text("{retention: {keep: 2}, pinned: [1]}")
    assert apply_retention(store, "digits") == [2, 3, 4]
    assert store.versions("digits") == [1, 5, 6]
    assert apply_retention(store, "digits") == []


def test_a_number_that_went_is_not_given_again(store: Repository) -> None:
    (store.root / "digits/model.yaml").write_text("retention: {keep: 1}")
    apply_retention(store, "digits")
    store.publish("digits", imported())
    assert store.versions("digits") == [6, 7]
