"""The status page: of which time it tells, and that it is a whole page that needs nothing else."""

from __future__ import annotations

import re

import pytest

from cellserve.service.overview.page import REFRESH_SECONDS, StatusPage
from tests.service.overview.told import Told


class Clock:
    now = 1000.0


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def page(told: Told, clock: Clock) -> StatusPage:
    return StatusPage(lambda: told.look(clock.now), lambda: 1_999_000_000.0)


def figure(html: str, label: str) -> str:
    found = re.search(rf"<dt>{re.escape(label)}</dt><dd[^>]*>([^<]*)</dd>", html)
    assert found is not None, label
    return found[1]


def test_the_first_page_tells_of_all_the_time_and_the_next_of_the_last_seconds(
    told: Told, clock: Clock, page: StatusPage
) -> None:
    told.answer(100)
    clock.now += 50
    first = page()
    told.answer(10)
    clock.now += REFRESH_SECONDS
    second = page()
    assert ("The last 50.0 s" in first, figure(first, "answered/s")) == (True, "2")
    assert ("The last 5.0 s" in second, figure(second, "answered/s")) == (True, "2")


def test_several_browsers_each_see_some_seconds(told: Told, clock: Clock, page: StatusPage) -> None:
    spans = []
    for _ in range(60):
        clock.now += 0.3
        told.answer(3)
        html = page()
        spans += [float(span) for span in re.findall(r"The last ([\d.]+) s", html)]
        assert float(figure(html, "answered/s")) == pytest.approx(10)
    assert spans[:3] == [0.3, 0.6, 0.9]
    assert all(4.0 <= span <= 6.0 for span in spans[20:]), spans


def test_names_of_models_and_tokens_are_words_and_not_html(told: Told, page: StatusPage) -> None:
    told.refuse("RESOURCE_EXHAUSTED", "OVERLOADED", token="<script>alert(1)</script>")
    told.readiness = "ready, but <b>"
    html = page()
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    assert "ready, but &lt;b&gt;" in html


def test_the_page_needs_nothing_from_elsewhere_and_asks_again_by_itself(page: StatusPage) -> None:
    html = page()
    assert f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">' in html
    assert not re.findall(r"<script|<link|<img|@import|url\(|https?:", html)
    assert re.findall(r'href="([^"]*)"', html) == ["metrics"]


def test_everything_that_is_told_is_on_it(told: Told, clock: Clock, page: StatusPage) -> None:
    told.answer(4)
    told.feed()
    told.refuse("INVALID_ARGUMENT", "INVALID_INPUT")
    clock.now += 2
    html = page()
    for words in (
        "<h2>Latency by implementation</h2>",
        "<h2>Versions and their queues; 1 more on disk</h2>",
        "<td>(no alias), trial 75%</td>",
        "<td>stable, standing in, trial 25%</td>",
        "<td>INVALID_INPUT</td>",
        '<td class="number">2 of 8</td>',
        "<h2>Live sequences</h2>",
    ):
        assert words in html
    assert figure(html, "certificate") == "for 11 d 13 h"
    assert figure(html, "cellserve") == "1.2.3 (http2)"
    assert '<dd class="bad">0.5</dd>' in html  # refused


def test_where_there_is_nothing_a_sentence_says_so(page: StatusPage) -> None:
    html = page()
    assert "<p>Nothing was answered.</p>" in html
    assert "<p>None since the start.</p>" in html
