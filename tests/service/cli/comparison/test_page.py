"""The page of a comparison, and the data that it is made of."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import numpy as np

from cellserve.service.cli.comparison.bars import Bar, bars
from cellserve.service.cli.comparison.differences import Differences
from cellserve.service.cli.comparison.page import page
from cellserve.service.cli.comparison.report import Bounds, Speed, exceeded, report


class Reader(HTMLParser):
    """Every tag and all text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not {name for name, _ in attrs} & {"src", "href", "onclick"}

    def handle_data(self, data: str) -> None:
        self.text.append(data)


BEFORE = {"outputs": [np.array([0.9, 0.1]), np.array([0.6, 0.4]), np.array([0.5, 0.5])]}
AFTER = {"outputs": [np.array([0.9, 0.1]), np.array([0.4, 0.6]), np.array([float("nan"), 0.5])]}
SPEEDS = (Speed("m/3", "packed", 0.002, 0.003, 0.001), Speed("m/4", "packed", 0.004, 0.005, 0.002))


def test_the_report_is_json_and_names_inputs_flips_and_what_was_exceeded() -> None:
    found = Differences.between(BEFORE, AFTER)
    data = report(("m/3", "m/4"), found, SPEEDS, Bounds(1e-3, 0), {0: "left", 1: "<right>"}, 10)
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["largest_difference"] is None  # not finite
    assert [row["input"] for row in data["worst_rows"]] == ["", "<right>", "left"]
    assert "answers differ by up to inf" in data["exceeded"][0]


def test_bounds_hold_or_are_told() -> None:
    found = Differences.between({"outputs": BEFORE["outputs"][:2]}, {"outputs": AFTER["outputs"][:2]})
    assert exceeded(found, Bounds()) == exceeded(found, Bounds(0.21, 1)) == []
    assert exceeded(found, Bounds(0.1, 0)) == [
        "answers differ by up to 0.2; at most 0.1 was allowed",
        "1 of 2 decisions flip; at most 0 were allowed",
    ]


def test_the_page_is_one_file_without_scripts_that_holds_what_is_in_the_report() -> None:
    found = Differences.between({"outputs": BEFORE["outputs"][:2]}, {"outputs": AFTER["outputs"][:2]})
    data = report(("m/3", "m/4"), found, SPEEDS, Bounds(0.1), {1: "<right>"}, 10)
    reader = Reader(page(data))
    assert "script" not in reader.tags
    assert reader.tags.count("svg") == 2
    text = " ".join(reader.text)
    for words in (
        "m/3 and m/4 on 2 inputs",
        "at most 0.1 was allowed",
        "1 of 2",
        "<right>",
        "outputs: 0 → 1",
        "below 1",
        "4.00",
    ):
        assert words in text


def test_the_longest_bar_takes_all_the_width_and_nothing_is_no_bar() -> None:
    drawn = bars("title", [Bar("a", 2.0, "two"), Bar("b", 0.0, "none", 1)])
    assert 'width="310.0"' in drawn
    assert 'width="0.0"' in drawn
    assert "a: two" in drawn
    assert bars("title", []).count("rect") == 0
