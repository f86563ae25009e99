"""Durations as people write them."""

from __future__ import annotations

from typing import Any

import pytest

from cellserve.service.registry.policy.durations import duration_words, parse_seconds


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("15m", 900), ("15 min", 900), ("90s", 90), ("1.5h", 5400), ("2d", 172800), ("250ms", 0.25), ("30", 30), (7, 7), (0, 0)],
)
def test_durations_are_read(given: Any, seconds: float) -> None:
    assert parse_seconds(given) == seconds


@pytest.mark.parametrize("given", ["", "m", "-5s", "5 weeks", "1e3", "soon", True, None, -1, float("inf"), float("nan"), 1e10])
def test_what_is_no_duration_is_told_how_one_is_written(given: Any) -> None:
    with pytest.raises(ValueError, match="as in 15m"):
        parse_seconds(given)


@pytest.mark.parametrize(
    ("seconds", "words"), [(900, "15m"), (90, "90s"), (86400, "1d"), (0, "0s"), (0.25, "0.25s"), (7200, "2h")]
)
def test_durations_are_told_in_the_largest_whole_unit(seconds: float, words: str) -> None:
    assert duration_words(seconds) == words
