"""`cellserve bench`: what may be asked, and what the tables, the JSON and the page tell of a small real model."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from cellserve.service.cli.bench import facts
from cellserve.service.cli.bench.command import parse_counts
from cellserve.service.cli.bench.page import page as page_of
from cellserve.service.errors import InvalidInput
from tests.service.cli.fakes import Shell

SMALL = ("--rows", "1,8", "--steps", "1,4", "--seconds-per-cell", "0.001")


MACHINE = {"host": "box", "processor": "A <fast> one", "cores": "2", "system": "Linux x86_64"}
MACHINE |= {"cellserve": "1.0", "torch": "2.13.0", "onnxruntime": "1.31.1", "numpy": "2.3", "python": "3.11.4"}
FACTS = facts.facts(["cellserve", "bench", "digits/1", "--rows", "1,8"], MACHINE, 1.5)


def cell(rows: int, steps: int, label: str, seconds: float, peak_bytes: int | None = 2**21) -> dict[str, Any]:
    return {
        "rows": rows,
        "steps": steps,
        "implementation": label,
        "calls": 5,
        "median_seconds": seconds,
        "median_wall_seconds": seconds,
        "steps_per_second": rows * steps / seconds,
        "peak_bytes": peak_bytes,
    }


def benched(*cells: dict[str, Any], model: str = "digits/1") -> dict[str, Any]:
    return FACTS | {
        "model": model,
        "implementations": ["0", "2"],
        "refused": {"fused": "its <activation> is odd"},
        "cells": list(cells),
        "oracle": {"longest_steps": 16, "largest_differences": {"0": 1.5e-7, "2": 2.5e-7}},
        "recommendations": [
            {"traffic": "bulk_few", "implementation": "2", "times_the_fastest": {"2": 1.0}, "least_memory": None, "words": "2"}
        ],
    }


class Elements(HTMLParser):
    """Counts elements; every one that is opened must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        if tag != "meta":
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def test_the_page_names_machine_date_versions_command_and_whether_it_was_busy() -> None:
    page = page_of(benched(cell(1, 4, "0", 1e-3), cell(1, 4, "2", 1e-3)))
    for told in (
        "cellserve bench digits/1 --rows 1,8",
        FACTS["measured"],
        "box: A &lt;fast&gt; one, 2 cores, Linux x86_64",
        "cellserve 1.0, torch 2.13.0, onnxruntime 1.31.1, numpy 2.3, python 3.11.4",
        "the machine was busy: on the clock, calls took 1.5 times",
    ):
        assert told in page
    assert "busy" not in dict(facts.lines(FACTS | {"busy": 1.0}))["load"]


@pytest.mark.parametrize("grid", [("--rows", "1000000", "--steps", "1000000"), ("--rows", "1", "--steps", "1" + 17 * "0")])
def test_a_grid_that_no_memory_can_hold_is_refused_before_anything_is_made(shell: Shell, grid: tuple[str, ...]) -> None:
    shell.publish()
    result = shell("bench", "digits", *grid)
    assert result.exit_code == 2
    assert "GiB are free; ask for fewer --rows or --steps" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(("text", "counts"), [("8", (8,)), ("32, 1,8,1", (1, 8, 32))])
def test_counts_are_numbers_separated_by_commas(text: str, counts: tuple[int, ...]) -> None:
    assert parse_counts("--rows", text) == counts


@pytest.mark.parametrize("text", ["", "1,", "0", "-1", "1.5", "many", "1;2", "\u00b2", "9" * 5000])
def test_other_counts_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"--steps .* expected positive integers separated by commas"):
        parse_counts("--steps", text)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("speech",), "no model 'speech'"),
        (("digits/9",), "no version 9"),
        (("digits", "--rows", "0"), "--rows '0'"),
        (("digits", "--implementation", "3"), "no implementation '3'"),
        (("digits", "--html", "missing/page.html"), "no folder missing"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence_and_exit_code_2(shell: Shell, arguments: tuple[str, ...], said: str) -> None:
    shell.publish()
    result = shell("bench", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_real_model_is_measured_told_and_drawn(shell: Shell, tmp_path: Path) -> None:
    shell.publish()
    file = tmp_path / "digits.html"
    data = shell.json("bench", "digits", *SMALL, "--html", str(file))
    assert data["model"] == "digits/1"
    assert data["command"] == "cellserve bench digits/1 --rows 1,8 --steps 1,4 --seconds-per-cell 0.001"
    assert {"0", "1", "2"} <= set(data["implementations"])
    assert [(one["rows"], one["steps"], one["implementation"]) for one in data["cells"]] == [
        (rows, steps, label) for rows in (1, 8) for steps in (1, 4) for label in data["implementations"]
    ]
    assert set(data["cells"][0]) == set(cell(1, 1, "0", 1.0))
    assert set(data["oracle"]["largest_differences"]) == set(data["implementations"])
    assert [one["traffic"] for one in data["recommendations"]] == ["bulk_few", "bulk_many", "steps_few", "steps_many"]
    assert file.read_text() == page_of(data)


def test_the_terminal_shows_what_was_asked_for(shell: Shell) -> None:
    shell.publish()
    result = shell("bench", "digits/1", *SMALL, "--implementation", "2", "--implementation", "0")
    assert result.exit_code == 0, result.output
    measured = re.findall(r"│ +(\d+) │ +(\d+) │ (\w+) ", result.stdout)
    assert measured == [(rows, steps, label) for rows in "18" for steps in "14" for label in "02"]
    for expected in ("peak MiB", "float64 oracle", "up to 3 time steps at a time, few sequences at once"):
        assert expected in result.stdout


def test_the_page_holds_every_cell_in_a_table_and_as_a_point() -> None:
    cells = [cell(rows, steps, label, rows * steps * 1e-3) for rows in (1, 8) for steps in (1, 4, 16) for label in ("0", "2")]
    page = page_of(benched(*cells))
    names = Elements(page).names
    assert names.count("svg") == 2 * 2  # latency and memory, for each number of rows
    assert names.count("circle") == 2 * len(cells)
    for one in cells:
        numbers = f'<td class="number">{one["rows"]}</td><td class="number">{one["steps"]}</td><td>{one["implementation"]}</td>'
        assert f'{numbers}<td class="number">{one["median_seconds"] * 1e3:.3f}</td>' in page


def test_the_page_needs_nothing_from_elsewhere_and_escapes_words() -> None:
    page = page_of(benched(cell(1, 4, "0", 1e-3), cell(1, 4, "2", 1e-3), model="<b>/1"))
    assert not {"script", "link", "img", "iframe"} & set(Elements(page).names)
    assert "http" not in page
    assert "<b>" not in page
    assert "its &lt;activation&gt; is odd" in page
    assert "prefers-color-scheme: dark" in page


def test_unknown_memory_is_not_drawn() -> None:
    page = page_of(benched(cell(1, 4, "0", 1e-3, None), cell(1, 4, "2", 1e-3, None)))
    assert Elements(page).names.count("svg") == 1
    assert page.count("unknown") == 2
