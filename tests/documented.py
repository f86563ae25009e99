"""Blocks of code in README.md and docs/: what they are, and who runs them.

A block names its language. `console` holds commands: all of its lines, or those that begin with `$ ` and then what they print;
`pycon` a session of Python, `python` a part of a program. tests/e2e/test_documented.py reads the pages of RUN from top to bottom.
Comments before a block say what else there is to say, one a line:

    <!-- run with: tritonclient -->   besides what every reader has, one of SURROUNDINGS
    <!-- run by: tests/… -->          by a test of its own
    <!-- prints: why -->              it is run, but prints something else each time
    <!-- not run: why -->             it cannot be, on one machine
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
    "load-testing.md",
    "operating.md",
    "own-model.md",
    "performance.md",
    "registry.md",
    "security.md",
    "sessions.md",
    "streaming.md",
    "tracing.md",
)
SURROUNDINGS: Final = ("AVX-512 BF16", "S3", "keras", "perf_analyzer", "tritonclient")
LANGUAGES: Final = ("console", "python", "pycon", "yaml", "text", "mermaid")
EXECUTED: Final = ("console", "python", "pycon")
_REMARK: Final = r"<!-- (?:not run|run by|run with|prints): [^\n]* -->\n"
_BLOCK: Final = re.compile(rf"(?P<remarks>(?:^{_REMARK})*)^```(?P<language>\S*)\n(?P<text>.*?)^```$", re.M | re.S)
_FILE: Final = re.compile(r"`([\w.-]+)`:\n+\Z")  # the end of what stands before a block that is that file
_PROMPT: Final = "$ "
_ENDS: Final = ("|", ">", "&", "&&", ";")  # of a command, in its line


class Block(NamedTuple):
    """remarks: the comments before it, by their first words. file: of YAML, its name if it is told; else empty."""

    page: Path
    line: int
    language: str
    text: str
    remarks: dict[str, str]
    file: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def read_here(self) -> bool:
        """By whoever reads its page."""
        return not {"not run", "run by"} & self.remarks.keys()


class Command(NamedTuple):
    """expected: what it prints, remarks on standard error left out; empty: that is not told."""

    line: str
    expected: str


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        remarks = dict(re.findall(r"^<!-- ([\w ]+): (.*) -->$", found["remarks"], re.M))
        named = _FILE.search(text, 0, found.start())
        yield Block(
            page, line, found["language"], found["text"], remarks, named[1] if named and found["language"] == "yaml" else ""
        )


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
