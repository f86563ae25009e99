"""Targets of latency, and the search for the highest rate that meets one."""

import pytest

from cellserve.service.errors import InvalidInput
from cellserve.service.loadgen.scenarios.target import CLOSE_ENOUGH, best_scale, next_scale, parse


@pytest.mark.parametrize(
    ("text", "share", "seconds", "fewest"),
    [
        ("p99<50ms", 0.99, 0.05, 100),
        ("p99.9 < 1s", 0.999, 1.0, 1000),
        ("p50<=800us", 0.5, 0.0008, 20),
        ("max<2.5s", 1.0, 2.5, 20),
    ],
)
def test_targets_are_read(text: str, share: float, seconds: float, fewest: int) -> None:
    target = parse(text)
    assert (target.share, target.seconds) == (pytest.approx(share), pytest.approx(seconds))
    assert target.fewest_requests == fewest


@pytest.mark.parametrize("text", ["", "p99", "p99<50", "p99>50ms", "p101<1s", "p0<1s", "p99<0ms", "mean<5ms"])
def test_anything_else_is_no_target(text: str) -> None:
    with pytest.raises(InvalidInput, match="no target of latency"):
        parse(text)


def test_a_percentile_is_a_latency_that_was_measured() -> None:
    latencies = [float(number) for number in range(100, 0, -1)]
    assert [parse(text).reached(latencies) for text in ("p50<1s", "p99<1s", "max<1s")] == [50, 99, 100]


@pytest.mark.parametrize("limit", [0.013, 0.9, 1.0, 3.7, 100.0])
def test_the_search_ends_close_below_the_limit(limit: float) -> None:
    met: dict[float, bool] = {}
    while (scale := next_scale(met, lowest=0.01)) is not None:
        met[scale] = scale <= limit
    found = best_scale(met)
    assert found is not None
    assert found <= limit < found * CLOSE_ENOUGH
    assert len(met) < 20


@pytest.mark.parametrize("always", [True, False])
def test_the_search_ends_where_there_is_no_limit(always: bool) -> None:
    met: dict[float, bool] = {}
    while (scale := next_scale(met, lowest=0.1)) is not None:
        met[scale] = always
    assert best_scale(met) == (max(met) if always else None)
    assert min(met) >= 0.1


def test_no_run_has_too_few_requests_to_tell() -> None:
    assert next_scale({}, lowest=3.0) == 3.0
    assert next_scale({3.0: False}, lowest=3.0) is None


def test_what_held_once_above_a_failure_does_not_count() -> None:
    assert best_scale({1.0: True, 2.0: False, 4.0: True}) == 1.0
