"""Blocks of code in README.md and docs/: what they are, and which of them are run.

A block names its language. `console` holds commands: all of its lines, or those that begin with `$ ` and then what they print;
`pycon` a session of Python, `python` a part of a program. What cannot be run on one machine says so in a comment before it:
`<!-- not run: why -->`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
RUN: Final = (
    "README.md",
    "errors.md",
    "implementations.md",
    "operating.md",
    "own-model.md",
    "registry.md",
    "security.md",
    "sessions.md",
    "streaming.md",
    "tracing.md",
)  # by tests/e2e/test_documented.py
LANGUAGES: Final = ("console", "python", "pycon", "yaml", "text", "mermaid")
EXECUTED: Final = ("console", "python", "pycon")
_BLOCK: Final = re.compile(r"(?:^<!-- not run: (?P<why>[^\n]*) -->\n)?^```(?P<language>\S*)\n(?P<text>.*?)^```$", re.M | re.S)
_PROMPT: Final = "$ "
_ENDS: Final = ("|", ">", "&", "&&", ";")  # of a command, in its line


class Block(NamedTuple):
    """not_run: why; None: it is run, where its page is one of RUN."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str | None

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


class Command(NamedTuple):
    """expected: what it prints, remarks on standard error left out; empty: that is not told."""

    line: str
    expected: str


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(page, line, found["language"], found["text"], found["why"])


def commands(block: Block) -> list[Command]:
    """Of a console block, each with the lines that continue it."""
    prompted = any(line.startswith(_PROMPT) for line in block.text.splitlines())
    found: list[Command] = []
    for line in block.text.splitlines():
        if found and found[-1].line.endswith("\\") and not found[-1].expected:
            found[-1] = found[-1]._replace(line=f"{found[-1].line}\n{line}")
        elif not prompted or line.startswith(_PROMPT):
            found.append(Command(line.removeprefix(_PROMPT), ""))
        else:
            found[-1] = found[-1]._replace(expected=f"{found[-1].expected}{line}\n")
    return found


def words(command: Command) -> list[str]:
    """As a shell parts them, as far as a pipe, without variables in front and comments."""
    parts = shlex.split(command.line.replace("\\\n", " "), comments=True)
    parts = list(takewhile(lambda part: part not in _ENDS, parts))
    while parts and re.fullmatch(r"[A-Z_]+=.*", parts[0]):
        parts = parts[1:]
    return parts
