"""What a reader is told of a model while others change it: whatever it reads between two files of one change is no fault."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from cellserve.service import disk
from cellserve.service.registry.repository import alias_history
from cellserve.service.registry.repository.alias_history import AliasMove, Trail
from cellserve.service.registry.repository.aliases import Aliases, AliasTable
from cellserve.service.registry.repository.model_on_disk import ModelOnDisk, read_model
from cellserve.service.registry.repository.repository import Repository
from tests.service.registry.fakes import imported, passing_gate, repository
from tests.service.registry.repository.remote.fakes import Machine

Change = Callable[[Repository], object]


class Interrupted(Repository):
    """Read by somebody who is held up after the versions (and the history) were read, once: `meanwhile` happens then."""

    def __init__(self, root: Path, meanwhile: Callable[[], object], after: str) -> None:
        super().__init__(root, gate=passing_gate)
        self._meanwhile: list[Callable[[], object]] = [meanwhile]
        self._after = after

    def versions(self, model: str) -> list[int]:
        found = super().versions(model)
        self._pass("versions")
        return found

    def alias_trail(self, model: str, known: Trail | None = None) -> Trail:
        found = super().alias_trail(model, known)
        self._pass("history")
        return found

    def alias_table(self, model: str) -> AliasTable:
        found = super().alias_table(model)
        self._pass("aliases")
        return found

    def _pass(self, step: str) -> None:
        if step == self._after and self._meanwhile:
            self._meanwhile.pop()()


def _publish_and_point(store: Repository) -> None:
    store.publish("digits", imported(), alias="stable")


def _publish_and_pin(store: Repository) -> None:
    store.publish("digits", imported())
    (store.root / "digits/model.yaml").write_text("pinned: [3]\nshadow: 3\n")


CHANGES: dict[str, Change] = {
    "an alias is moved": lambda store: store.set_alias("digits", "stable", 2, "ann@host"),
    "an alias is split": lambda store: store.split_alias("digits", "stable", 2, 0.1, "ann@host"),
    "a first alias is made": lambda store: store.set_alias("digits", "canary", 2, "ann@host"),
    "an alias is moved to and fro": lambda store: [store.set_alias("digits", "stable", to, "ann@host") for to in (2, 1, 2)],
    "a version is published and pointed at": _publish_and_point,
    "a version is published and pinned": _publish_and_pin,
}


@pytest.mark.parametrize("after", ["versions", "history", "aliases"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_between_two_looks_is_no_fault_of_the_model(tmp_path: Path, change: str, after: str) -> None:
    there = repository(tmp_path)
    there.publish("digits", imported(), alias="stable")
    there.publish("digits", imported(1))
    found = read_model(Interrupted(tmp_path, lambda: CHANGES[change](there), after), "digits")
    assert (found.problems, found.dangling) == ((), {})
    assert (found.trail.aliases, found.trail.splits) == (found.aliases, found.splits)


def test_the_first_alias_of_a_model_that_comes_meanwhile_is_not_missing(tmp_path: Path) -> None:
    class Late(Aliases):
        """Read before the aliases were written, and asked for the history after."""

        def trail(self, known: Trail | None = None) -> Trail:
            Aliases(tmp_path).write({"stable": 1}, "ann@host")
            return super().trail(known)

    assert Late(tmp_path).read() == {"stable": 1}


def _read_while_half_written(root: Path, begin: Callable[[], None], end: Callable[[], None]) -> ModelOnDisk:
    """By somebody who has looked once at what is written, before the rest is written."""
    looked = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        with disk.exclusive(root):
            begin()
            reading = pool.submit(read_model, Interrupted(root, looked.set, after="aliases"), "digits")
            assert looked.wait(30)
            end()
        return reading.result()


def test_a_move_whose_line_of_history_is_not_written_yet_is_waited_for(tmp_path: Path) -> None:
    store, folder = repository(tmp_path), tmp_path / "digits"
    store.publish("digits", imported(), alias="stable")
    store.publish("digits", imported(1))
    move = AliasMove(alias="stable", before=1, after=2, by="ann@host")
    found = _read_while_half_written(
        tmp_path,
        lambda: disk.replace_file(folder / "aliases.json", json.dumps({"stable": 2}).encode()),
        lambda: alias_history.append(folder, [move]),
    )
    assert found.aliases == {"stable": 2}
    assert found.problems == ()
    assert found.trail.last("stable") == move


@pytest.mark.parametrize(("first", "second"), [("aliases.json", "alias-history.jsonl"), ("alias-history.jsonl", "aliases.json")])
def test_a_mirror_that_is_half_shown_is_waited_for(tmp_path: Path, first: str, second: str) -> None:
    memory = MemoryStore()
    there, here = Machine(memory, tmp_path / "there"), Machine(memory, tmp_path / "here")
    for seed in range(2):
        there.repository.publish("digits", imported(seed))
    there.repository.set_alias("digits", "stable", 1)
    here.seen()
    there.repository.set_alias("digits", "stable", 2, "bob@host")

    def show(file: str) -> None:
        disk.replace_file(here.folder / "digits" / file, (there.folder / "digits" / file).read_bytes())

    found = _read_while_half_written(here.folder, lambda: show(first), lambda: show(second))
    assert found.problems == ()
    assert found.trail.moves[-1].by == "bob@host"


def test_what_was_changed_by_hand_is_told_all_the_same(tmp_path: Path) -> None:
    store = repository(tmp_path)
    store.publish("digits", imported(), alias="stable")
    (tmp_path / "digits/aliases.json").write_text('{"stable": 7}')
    found = read_model(store, "digits")
    assert found.problems == ("aliases.json of digits was changed by hand: stable is 7, and was last set to 1",)
    assert list(found.dangling) == [7]
