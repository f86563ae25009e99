from pathlib import Path

import pytest

from cellserve.service.registry.repository import alias_history
from cellserve.service.registry.repository.alias_history import HISTORY_FILE, AliasMove, Trail, append, differences, read


def move(alias: str, before: int | None, after: int | None, by: str = "") -> AliasMove:
    return AliasMove(alias=alias, before=before, after=after, by=by)


def test_moves_are_appended_a_line_each_and_come_back(tmp_path: Path) -> None:
    first, second = move("stable", None, 1, "root@host"), move("stable", 1, 2)
    append(tmp_path, [first])
    before = (tmp_path / HISTORY_FILE).read_bytes()
    append(tmp_path, [second])
    append(tmp_path, [])
    content = (tmp_path / HISTORY_FILE).read_bytes()
    assert content.startswith(before)
    assert content.count(b"\n") == 2
    assert read(tmp_path).moves == (first, second)
    assert read(tmp_path).aliases == {"stable": 2}
    assert read(tmp_path).last("stable") == second
    assert read(tmp_path).last("canary") is None


def test_a_line_says_when_from_to_and_by_whom(tmp_path: Path) -> None:
    append(tmp_path, [move("stable", 1, 2, "root@host")])
    line = (tmp_path / HISTORY_FILE).read_text()
    for part in ('"when":"20', '"alias":"stable"', '"from":1', '"to":2', '"by":"root@host"'):
        assert part in line


def test_no_file_is_an_empty_trail_and_a_known_one_is_not_read_again(tmp_path: Path) -> None:
    assert read(tmp_path) == Trail()
    append(tmp_path, [move("stable", None, 1)])
    trail = read(tmp_path)
    assert read(tmp_path, trail) is trail
    append(tmp_path, [move("stable", 1, None)])
    assert read(tmp_path, trail).aliases == {}


@pytest.mark.parametrize("cut", [b'{"when": "2026', b"\xff\x00", b"[]"])
def test_a_line_that_was_cut_short_costs_itself_alone(tmp_path: Path, cut: bytes) -> None:
    append(tmp_path, [move("stable", None, 1)])
    with (tmp_path / HISTORY_FILE).open("ab") as file:
        file.write(cut)
    append(tmp_path, [move("stable", 1, 2)])
    trail = read(tmp_path)
    assert [each.after for each in trail.moves] == [1, 2]
    assert trail.unreadable == 1


def test_differences_are_the_moves_between() -> None:
    moves = differences({"a": 1, "b": 2, "c": 3}, {"b": 2, "c": 4, "d": 5}, "me")
    assert [(each.alias, each.before, each.after, each.by) for each in moves] == [
        ("a", 1, None, "me"), ("c", 3, 4, "me"), ("d", None, 5, "me"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (move("stable", None, 1, "root@host"), "set to 1 (by root@host)"),
        (move("stable", 1, 2), "from 1 to 2 (by nobody known)"),
        (move("stable", 2, None, "root@host"), "removed, was 2 (by root@host)"),
        (AliasMove(alias="stable", after=1, found=True), "set to 1 (found so, moved by nobody known)"),
    ],
)
def test_words(told: AliasMove, words: str) -> None:
    assert told.words == words


def test_a_folder_in_its_place_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / HISTORY_FILE).mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        alias_history.read(tmp_path)
