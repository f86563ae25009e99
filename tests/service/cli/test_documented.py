"""Commands that the documentation shows: that they exist with their options, and that what docs/registry.md prints is printed."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from cellserve.service.cli.main import app
from tests.service.cli.fakes import Shell

ROOT = Path(__file__).parents[3]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
FENCE = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def shown(page: Path) -> Iterator[list[str]]:
    """The words of every command of ours in a page's blocks, as far as a pipe or a remark."""
    for block in FENCE.findall(page.read_text()):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.match(r"(?:\$ )?cellserve (.*)", line)
            if found is not None:
                words = shlex.split(found[1], comments=True)
                yield list(itertools.takewhile(lambda word: word not in ("|", ">", "&", "&&"), words))


def unknown(words: list[str]) -> list[str]:
    """What of a command does not exist. What stands after -- is another command's."""
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "commands") and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    if hasattr(command, "commands") and words and not words[0].startswith("-"):
        return words[:1]
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    words = words[: words.index("--")] if "--" in words else words
    return [word for word in words if re.match(r"-{1,2}[a-z]", word) and word.partition("=")[0] not in options]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_shown_exists(page: Path) -> None:
    assert [(words, missing) for words in shown(page) if (missing := unknown(list(words)))] == []


def test_what_is_shown_of_a_share_is_what_is_printed(shell: Shell) -> None:
    text = (ROOT / "docs/registry.md").read_text()
    command, printed = re.findall(r"^\$ cellserve (promote .* --share .*)\n(.*)\n", text, re.MULTILINE)[0]
    for _ in range(4):
        shell.publish()
    assert shell("promote", "digits", "3").exit_code == 0
    assert shell(*shlex.split(command)).stdout == f"{printed}\n"
