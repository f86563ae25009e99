import errno
import json
import logging
from pathlib import Path

import pytest

from cellserve.service.errors import RepositoryError
from cellserve.service.registry.repository import alias_history
from cellserve.service.registry.repository.aliases import Aliases, changed_by_hand


def by_hand(folder: Path, aliases: dict[str, int]) -> None:
    (folder / "aliases.json").write_text(json.dumps(aliases))


def moves(folder: Path) -> list[tuple[str, int | None, int | None, str]]:
    return [(each.alias, each.before, each.after, each.by) for each in Aliases(folder).trail().moves]


def test_each_move_is_recorded(tmp_path: Path) -> None:
    book = Aliases(tmp_path)
    book.write({"stable": 1}, "ann@host")
    book.write({"stable": 2, "canary": 1}, "bob@host")
    book.write({"stable": 2}, "")
    assert book.read() == {"stable": 2}
    assert moves(tmp_path) == [
        ("stable", None, 1, "ann@host"), ("canary", None, 1, "bob@host"), ("stable", 1, 2, "bob@host"), ("canary", 1, None, ""),
    ]  # fmt: skip


def test_what_was_changed_by_hand_is_told_until_the_next_move_records_it(tmp_path: Path) -> None:
    book = Aliases(tmp_path)
    book.write({"stable": 1, "canary": 2}, "ann@host")
    by_hand(tmp_path, {"stable": 3})
    told = changed_by_hand("digits", book.read(), book.trail())
    assert told == {
        "canary": "aliases.json of digits was changed by hand: canary is gone, and was last set to 2",
        "stable": "aliases.json of digits was changed by hand: stable is 3, and was last set to 1",
    }
    book.write({"stable": 3, "next": 4}, "bob@host")
    assert changed_by_hand("digits", book.read(), book.trail()) == {}
    assert moves(tmp_path)[2:] == [("canary", 2, None, ""), ("stable", 1, 3, ""), ("next", None, 4, "bob@host")]
    assert [each.found for each in book.trail().moves[2:]] == [True, True, False]


def test_aliases_from_before_there_was_a_history_are_no_fault(tmp_path: Path) -> None:
    by_hand(tmp_path, {"stable": 1})
    book = Aliases(tmp_path)
    assert book.read() == {"stable": 1}
    assert changed_by_hand("digits", book.read(), book.trail()) == {}
    book.write({"stable": 2}, "ann@host")
    assert moves(tmp_path) == [("stable", None, 1, ""), ("stable", 1, 2, "ann@host")]


def test_a_missing_file_is_told_where_there_were_aliases(tmp_path: Path) -> None:
    book = Aliases(tmp_path)
    assert book.read() == {}
    book.write({"stable": 1}, "")
    (tmp_path / "aliases.json").unlink()
    with pytest.raises(RepositoryError, match=r"aliases\.json is missing, though there were aliases: stable was 1; .*promote"):
        book.read()
    book.write({}, "")
    (tmp_path / "aliases.json").unlink()
    assert book.read() == {}


@pytest.mark.parametrize("damage", ["{", None])
def test_what_is_damaged_or_missing_is_known_from_the_history(tmp_path: Path, damage: str | None) -> None:
    book = Aliases(tmp_path)
    book.write({"stable": 1, "canary": 2}, "")
    (tmp_path / "aliases.json").unlink()
    if damage is not None:
        (tmp_path / "aliases.json").write_text(damage)
    assert book.known().versions == {"stable": 1, "canary": 2}


def test_a_history_that_cannot_be_written_is_told_and_the_move_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / alias_history.HISTORY_FILE).mkdir()
    with caplog.at_level(logging.WARNING):
        Aliases(tmp_path).write({"stable": 1}, "ann@host")
    assert Aliases(tmp_path).read() == {"stable": 1}
    assert "stable set to 1 (by ann@host)" in caplog.text
    assert "cannot be written" in caplog.text


def test_on_a_full_disk_what_does_not_grow_is_written_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = Aliases(tmp_path)
    book.write({"stable": 1, "canary": 2}, "")

    def no_room(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("cellserve.service.disk.write_file", no_room)
    book.write({"stable": 1}, "")
    assert book.read() == {"stable": 1}
    with pytest.raises(OSError, match="No space left"):
        book.write({"stable": 1, "canary": 2, "another": 3}, "")
    assert book.read() == {"stable": 1}


def test_a_split_is_kept_read_and_recorded(tmp_path: Path) -> None:
    book = Aliases(tmp_path)
    book.write({"stable": 3, "canary": 4}, "ann@host")
    book.write({"stable": 3, "canary": 4}, "bob@host", {"stable": {4: 0.1, 3: 0.9}})
    assert json.loads((tmp_path / "aliases.json").read_text()) == {"canary": 4, "stable": {"3": 0.9, "4": 0.1}}
    assert book.table() == ({"canary": 4, "stable": 3}, {"stable": {4: 0.1, 3: 0.9}})
    book.write({"stable": 3, "canary": 3}, "ann@host")  # of another alias
    assert book.table().splits == {"stable": {4: 0.1, 3: 0.9}}
    book.write({"stable": 3}, "ann@host", {})
    assert [(move.alias, move.words) for move in book.trail().moves[2:]] == [
        ("stable", "split, 10% to 4, 90% to 3 (by bob@host)"),
        ("canary", "from 4 to 3 (by ann@host)"),
        ("canary", "removed, was 3 (by ann@host)"),
        ("stable", "all to 3 again (by ann@host)"),
    ]
    assert changed_by_hand("digits", book.read(), book.trail()) == {}


def test_a_split_is_known_from_the_history_where_the_file_is_damaged(tmp_path: Path) -> None:
    book = Aliases(tmp_path)
    book.write({"stable": 3, "canary": 3}, "", {"stable": {4: 0.1, 3: 0.9}, "canary": {4: 0.2, 3: 0.8}})
    book.write({"stable": 3, "canary": 4}, "")
    (tmp_path / "aliases.json").write_text("{")
    assert book.known() == ({"canary": 4, "stable": 3}, {"stable": {4: 0.1, 3: 0.9}})


def test_a_split_ends_when_its_alias_moves(tmp_path: Path) -> None:
    book = Aliases(tmp_path)
    book.write({"stable": 3}, "", {"stable": {4: 0.1, 3: 0.9}})
    book.write({"stable": 4}, "")
    assert book.table() == ({"stable": 4}, {})


@pytest.mark.parametrize(
    ("split", "words"),
    [({"3": 0.9, "4": 0.2}, "make 1 together"), ({"3": 1.0}, "two versions"), ({"old": 0.5, "4": 0.5}, "no versions: old, 4")],
)
def test_a_split_that_is_none_is_told(tmp_path: Path, split: dict[str, float], words: str) -> None:
    (tmp_path / "aliases.json").write_text(json.dumps({"stable": split}))
    with pytest.raises(RepositoryError, match=f"aliases.json is damaged.*{words}"):
        Aliases(tmp_path).read()
