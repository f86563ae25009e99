"""Wherever users read or write which implementations there are, all of them stand."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from cellserve.models.implementations import LABELS
from cellserve.service.config import ImplementationChoice

ROOT = Path(__file__).parents[1]
LISTS = {
    "proto/open_inference.proto": "// implementation (string): 0, ",
    "README.md": "| implementations |",
    "CHANGELOG.md": "`implementation` of a request's choice: ",
    "service/cli/commands/predicting.py": '"Force one: ',
    "service/cli/commands/load_test.py": '"Force one: ',
}


def test_the_settings_take_every_implementation() -> None:
    assert get_args(ImplementationChoice) == ("auto", *LABELS)


@pytest.mark.parametrize(("file", "before"), LISTS.items())
def test_every_list_has_every_implementation(file: str, before: str) -> None:
    (line,) = [line for line in (ROOT / file).read_text().splitlines() if before in line]
    listed = line[line.index(before) :].replace("`", " ").replace(",", " ").replace(".", " ").split()
    assert [label for label in LABELS if label not in listed] == []
