"""The due times of an open loop have the properties of a Poisson process."""

import numpy as np
import pytest

from cellserve.service.loadgen.arrivals import poisson


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.parametrize(("requests", "duration_seconds"), [(20_000, None), (None, 200.0), (40_000, 200.0)])
def test_gaps_are_exponential_at_the_rate(requests: int | None, duration_seconds: float | None) -> None:
    due = poisson(rng(), 100.0, requests=requests, duration_seconds=duration_seconds)
    gaps = np.diff(due)
    assert len(due) == pytest.approx(20_000, rel=0.03)
    assert (gaps >= 0).all()
    assert gaps.mean() == pytest.approx(0.01, rel=0.03)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)
    assert (gaps > 0.01).mean() == pytest.approx(np.exp(-1), abs=0.02)


def test_counts_per_second_vary_as_much_as_their_mean() -> None:
    counts = np.bincount(poisson(rng(), 50.0, duration_seconds=2000.0).astype(int))
    assert counts.var() == pytest.approx(counts.mean(), rel=0.1)


def test_the_end_comes_with_whichever_is_first() -> None:
    assert len(poisson(rng(), 10.0, requests=7)) == 7
    assert len(poisson(rng(), 10.0, requests=7, duration_seconds=1e6)) == 7
    assert poisson(rng(), 10.0, requests=10**4, duration_seconds=5.0).max() <= 5.0
    assert poisson(rng(), 10.0, duration_seconds=5.0).max() <= 5.0


def test_an_end_is_needed() -> None:
    with pytest.raises(ValueError, match="number of requests or after a time"):
        poisson(rng(), 10.0)


def test_a_seed_fixes_the_schedule() -> None:
    np.testing.assert_array_equal(poisson(rng(), 10.0, requests=50), poisson(rng(), 10.0, requests=50))
