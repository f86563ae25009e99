"""Numbers as people read them."""

from __future__ import annotations

import pytest

from cellserve.service.overview.words import duration, memory, milliseconds, number, percent


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 s"),
        (59.94, "59.9 s"),
        (60.0, "1 min 00 s"),
        (3599.9, "59 min 59 s"),
        (7620.0, "2 h 07 min"),
        (273_600.0, "3 d 04 h"),
    ],
)
def test_durations_are_told_in_the_units_that_tell(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0"), (0.05, "0.05"), (2.0, "2"), (2.345, "2.3"), (23.45, "23.4"), (1234.5, "1,234"), (0.0001, "0.0001")],
)
def test_a_number_has_as_many_digits_as_tell_something(value: float | None, text: str) -> None:
    assert number(value) == text


def test_what_is_not_known_is_a_dash() -> None:
    assert (milliseconds(None), percent(None), memory(None)) == ("–", "–", "–")
    assert (milliseconds(0.00247), percent(0.125), memory(96.0), memory(2.5e9)) == ("2.47", "12%", "96 B", "2.5 GB")
