"""What the pages show could be run: languages are named, programs are programs, and the command line takes every command."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from cellserve.service.cli.main import app
from tests.documented import EXECUTED, LANGUAGES, PAGES, ROOT, RUN, SURROUNDINGS, Block, Command, blocks, commands, words

BLOCKS = [block for page in PAGES for block in blocks(page)]
COMMANDS = [(block, command) for block in BLOCKS if block.language == "console" for command in commands(block)]
OURS = [(block, command) for block, command in COMMANDS if words(command)[:1] in (["cellserve"], [".venv/bin/cellserve"])]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_found_and_names_its_language(page: Path) -> None:
    of_page = [block for block in BLOCKS if block.page == page]
    fences = [line for line in page.read_text().splitlines() if line.startswith("```")]
    assert len(fences) == 2 * len(of_page)
    assert {str(block): block.language for block in of_page if block.language not in LANGUAGES} == {}


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in EXECUTED], ids=str)
def test_somebody_runs_it_or_it_says_why_not(block: Block) -> None:
    assert block.page.name in RUN or not block.read_here, "name the page in tests/documented.py, or say who runs it, or why not"
    assert block.remarks.get("run with", SURROUNDINGS[0]) in SURROUNDINGS


def test_remarks_stand_before_what_can_be_run() -> None:
    assert [str(block) for block in BLOCKS if block.remarks and block.language not in EXECUTED] == []


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.remarks], ids=str)
def test_what_runs_it_instead_is_there(block: Block) -> None:
    assert [name for name in re.findall(r"(?:tests|docs)/[\w/.-]*\w", str(block.remarks)) if not (ROOT / name).exists()] == []
    by = block.remarks.get("run by")
    assert by is None or "from tests.documented import" in (ROOT / by).read_text(), "it takes its commands from the page"


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "python"], ids=str)
def test_a_program_is_one(block: Block) -> None:
    compile(block.text, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "yaml"], ids=str)
def test_a_description_is_yaml(block: Block) -> None:
    assert yaml.safe_load(block.text) is not None


@pytest.mark.parametrize(("block", "command"), OURS, ids=lambda each: str(each) if isinstance(each, Block) else "")
def test_the_command_line_takes_every_command_with_its_options(block: Block, command: Command) -> None:
    parts = words(command)[1:]
    of: Any = typer.main.get_command(app)
    while hasattr(of, "get_command"):
        name = parts.pop(0)
        found = of.get_command(_context(of), name)
        assert found is not None, f"{block}: there is no command {name}"
        of = found
    given, rest, _ = of.make_parser(_context(of)).parse_args(parts)
    wanted = [each.name for each in of.params if each.param_type_name == "argument" and each.required]
    assert rest == [], f"{block}: {command.line} has an argument too many"
    assert all(given.get(name) for name in wanted), f"{block}: {command.line} needs {', '.join(wanted)}"


def _context(of: Any) -> Any:
    return of.make_context("", [], resilient_parsing=True)


def test_files_that_commands_for_containers_name_are_there() -> None:
    named = [
        words(command)[place + 1]
        for _, command in COMMANDS
        if words(command)[:1] == ["docker"]
        for place, word in enumerate(words(command))
        if word == "-f"
    ]
    assert named
    assert [file for file in named if not (ROOT / file).exists()] == []
