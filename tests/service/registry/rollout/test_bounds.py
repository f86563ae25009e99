"""What may be bounded, how it is written, and what is said of what is written otherwise."""

from __future__ import annotations

import pytest

from cellserve.service.registry.rollout.bounds import (
    Bound,
    DifferenceBound,
    ErrorBound,
    LatencyBound,
    bounds_text,
    parse_bounds,
)


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("", ()),
        ("  ", ()),
        ("errors > 1%", (ErrorBound(0.01),)),
        ("errors>0.5 %", (ErrorBound(0.005),)),
        ("errors > 0.02", (ErrorBound(0.02),)),
        ("errors > 0", (ErrorBound(0.0),)),
        ("difference > 1e-3", (DifferenceBound(1e-3),)),
        ("p99 > 2x", (LatencyBound(99, times=2.0),)),
        ("p50 > 50ms", (LatencyBound(50, seconds=0.05),)),
        ("p99.9 > 1.5 s", (LatencyBound(99.9, seconds=1.5),)),
        (
            "errors > 1%, difference > 1e-3,p99 > 2x , p50 > 1x",
            (ErrorBound(0.01), DifferenceBound(1e-3), LatencyBound(99, times=2.0), LatencyBound(50, times=1.0)),
        ),
    ],
)
def test_bounds_are_read_and_written_again_alike(text: str, bounds: tuple[Bound, ...]) -> None:
    assert parse_bounds(text) == bounds
    assert parse_bounds(bounds_text(bounds)) == bounds


def test_bounds_are_told_as_people_write_them() -> None:
    bounds = parse_bounds("errors>0.01,difference>0.001,p99>2x,p50>0.25s,p90>2m")
    assert bounds_text(bounds) == "errors > 1%, difference > 0.001, p99 > 2x, p50 > 250ms, p90 > 2m"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("errors", "'errors' is no bound: write a quantity, >"),
        ("errors < 1%", "is no bound"),
        ("errors >= 1%", "write > in place of >="),
        ("errors > 1%,", "'' is no bound"),
        ("> 1%", "is no bound"),
        ("errors >", "is no bound"),
        ("errors > many", "'errors > many': expected a percentage below 100%"),
        ("errors > 100%", "more than that cannot fail"),
        ("errors > -1%", "expected a percentage"),
        ("errors > nan", "expected a percentage"),
        ("difference > 1%", "'difference > 1%': expected a number"),
        ("difference > inf", "expected a number"),
        ("p99 > 50", "expected a duration, as in 50ms, or how often"),
        ("p99 > 2 parsecs", "expected a duration"),
        ("p99 > 0.5x", "expected 1x or more"),
        ("p100 > 2x", "'p100' is nothing that can be bounded: there are errors, difference, and latencies"),
        ("p0 > 2x", "nothing that can be bounded"),
        ("latency > 2x", "nothing that can be bounded"),
        ("errors > 1%, errors > 2%", "errors is bounded twice"),
        ("p99 > 2x, p99 > 50ms", "p99 is bounded twice"),
        ("errors > 1%" * 200, "too long"),
    ],
)
def test_what_is_no_bound_is_told_with_what_would_be(text: str, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_bounds(text)
    assert words in str(caught.value)
