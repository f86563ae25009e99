"""ARCHITECTURE.md says what the tree says: its diagram is the import contract, its table the rooms, its paths exist."""

import re
from pathlib import Path

import pytest

from tests.architecture import DOCUMENT, ROOT, diagram, rooms, sentence, table, written

DECLARED = "what the tree says has changed: run python -m tests.architecture"


def test_the_diagram_and_the_table_are_those_of_the_tree() -> None:
    document = DOCUMENT.read_text()
    assert diagram() in document, DECLARED
    assert table() in document, DECLARED
    assert written(document) == document, DECLARED


@pytest.mark.parametrize("room", rooms(), ids=str)
def test_every_room_says_what_it_is(room: Path) -> None:
    assert sentence(room), f"{room}/__init__.py should begin with one sentence"


def test_every_path_that_is_named_exists() -> None:
    named = set(re.findall(r"`((?:models|service|tests|deploy|docs|proto)/[\w/.]*)`", DOCUMENT.read_text()))
    assert named
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


def test_a_document_without_its_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="once each"):
        written("# Architecture\n")


def test_what_was_changed_by_hand_is_written_anew() -> None:
    document = DOCUMENT.read_text()
    assert written(document.replace(diagram(), "stale").replace(table(), "stale")) == document
