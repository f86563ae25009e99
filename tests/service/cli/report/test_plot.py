"""Plots as SVG: every point inside, gaps kept, nothing where nothing is."""

import re
from xml.etree import ElementTree

import pytest

from cellserve.service.cli.report.plot import Point, plot


@pytest.mark.parametrize("logarithmic", [True, False])
@pytest.mark.parametrize("line", [[(0, 1)], [(0, 0.001), (1e4, 5e6)], [(-3, 7), (-3, 7)], [(1.5, 1e-9), (1.6, 2e-9)]])
def test_every_point_lies_inside(line: list[Point], logarithmic: bool) -> None:
    svg = plot("a <b>", "x & x", "y", {"one": line}, logarithmic=logarithmic, marks=[(line[0][0], "m/2")])
    ElementTree.fromstring(svg)  # well-formed
    for x, y in re.findall(r'cx="(\S+)" cy="(\S+)"', svg):
        assert 64 <= float(x) <= 544
        assert 30 <= float(y) <= 228


def test_a_gap_parts_the_line() -> None:
    assert plot("t", "x", "y", {"one": [(0, 1), (1, None), (2, 3)]}).count("<polyline") == 2


def test_zero_is_a_gap_on_a_logarithmic_scale_and_a_point_on_another() -> None:
    line: list[Point] = [(0, 1), (1, 0), (2, 3)]
    assert plot("t", "x", "y", {"one": line}, logarithmic=True).count("<circle") == 2
    assert plot("t", "x", "y", {"one": line}).count("<circle") == 3


@pytest.mark.parametrize("lines", [{}, {"one": []}, {"one": [(0, None)]}])
def test_nothing_is_drawn_of_nothing(lines: dict[str, list[Point]]) -> None:
    assert plot("t", "x", "y", lines) == ""
