"""Distributions of lengths: their bounds, their shape, and what is no distribution."""

import numpy as np
import pytest

from cellserve.service.loadgen.lengths import parse


def draw(text: str, count: int = 20_000) -> np.ndarray:
    return parse(text).draw(np.random.default_rng(1), count)


def test_fixed() -> None:
    assert set(draw("fixed:12").tolist()) == {12}


def test_uniform_reaches_both_ends_evenly() -> None:
    values, counts = np.unique(draw("uniform:3:6"), return_counts=True)
    assert values.tolist() == [3, 4, 5, 6]
    assert counts.min() > 0.9 * counts.max()


def test_lognormal_has_its_median_and_stays_inside() -> None:
    drawn = draw("lognormal:40:4:200")
    assert np.median(drawn) == pytest.approx(40, abs=2)
    assert drawn.min() >= 4
    assert drawn.max() == 200
    assert (drawn == 200).mean() == pytest.approx(0.01, abs=0.005)
    assert drawn.mean() > np.median(drawn)


def test_mix_has_short_and_long_in_its_shares() -> None:
    drawn = draw("mix")
    assert (drawn <= 200).mean() == pytest.approx(0.80, abs=0.02)
    assert (drawn > 800).mean() == pytest.approx(0.05, abs=0.01)
    assert drawn.max() <= 2000


def test_a_seed_fixes_the_draw() -> None:
    np.testing.assert_array_equal(draw("mix", 50), draw("mix", 50))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fixed",
        "fixed:0",
        "fixed:a",
        "fixed:1:2",
        "uniform:5:4",
        "uniform:0:4",
        "lognormal:3:4:9",
        "lognormal:9:1:9",
        "mix:1",
        "normal:5",
    ],
)
def test_what_is_no_distribution(text: str) -> None:
    with pytest.raises(ValueError, match="lognormal:MEDIAN:MIN:MAX"):
        parse(text)
