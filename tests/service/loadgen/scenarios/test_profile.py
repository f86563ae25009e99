"""Rates that change become due times with those rates."""

import numpy as np
import pytest

from cellserve.service.loadgen.scenarios.profile import Profiled, due_seconds
from cellserve.service.loadgen.scenarios.scenario import Bursts, Poisson, Ramp, Steady

BURSTS = Bursts(kind="bursts", rate_per_second=0, burst_per_second=4000, every_seconds=2, burst_seconds=0.5)
RAMP = Ramp(kind="ramp", from_per_second=0, to_per_second=4000)


def due(arrivals: Profiled, seconds: float = 5.0, scale: float = 1.0) -> np.ndarray:
    times = due_seconds(np.random.default_rng(3), arrivals, seconds, scale)
    assert (np.diff(times) >= 0).all()
    assert ((times >= 0) & (times < seconds)).all()
    return times


@pytest.mark.parametrize(
    ("arrivals", "expected"),
    [(Poisson(rate_per_second=2000), 10000), (RAMP, 10000), (BURSTS, 6000)],
    ids=["poisson", "ramp", "bursts"],
)
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_as_many_come_as_the_rate_says(arrivals: Profiled, expected: int, scale: float) -> None:
    assert len(due(arrivals, scale=scale)) == pytest.approx(expected * scale, rel=0.06)


def test_bursts_are_silent_between_where_their_rate_is_0() -> None:
    assert ((due(BURSTS) % 2) <= 0.5).all()


def test_between_bursts_comes_what_the_rate_says() -> None:
    times = due(BURSTS.model_copy(update={"rate_per_second": 1000.0}))
    assert ((times % 2) > 0.5).sum() == pytest.approx(3000 + 0, rel=0.15)


def test_a_ramp_rises() -> None:
    times = due(RAMP)
    counts, _ = np.histogram(times, bins=4, range=(0, 5))
    assert counts / len(times) == pytest.approx(np.array([1, 3, 5, 7]) / 16, abs=0.02)


def test_a_falling_ramp_falls() -> None:
    counts, _ = np.histogram(due(Ramp(kind="ramp", from_per_second=4000, to_per_second=1)), bins=4, range=(0, 5))
    assert (np.diff(counts) < 0).all()


def test_steady_is_even() -> None:
    assert due(Steady(kind="steady", rate_per_second=4), 1.0).tolist() == [0, 0.25, 0.5, 0.75]
