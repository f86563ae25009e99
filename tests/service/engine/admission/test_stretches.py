"""By how much predictions must be stretched."""

from __future__ import annotations

import pytest

from cellserve.service.engine.admission.stretches import Stretches


def test_predictions_are_stretched_until_nearly_all_are_kept() -> None:
    stretches = Stretches()
    assert stretches.of(100, 0.1) == 1.0
    for number in range(1000):
        stretches.learn(100, 0.1, 0.1 * (1.0 + number % 100 / 100), alike=0)  # each takes up to twice what was predicted
    assert 1.7 < stretches.of(100, 0.1) < 2.4
    assert stretches.of(1000, 0.1) == 1.0  # another length
    for _ in range(2000):
        stretches.learn(100, 0.1, 0.05, alike=0)
    assert stretches.of(100, 0.1) < 0.6


def test_who_has_a_long_queue_ahead_is_later_by_as_many_seconds_until_it_is_known() -> None:
    stretches = Stretches()
    for _ in range(1000):
        stretches.learn(100, 0.1, 0.2, alike=0)
    late = stretches.of(100, 0.1)
    assert late == pytest.approx(2.0, abs=0.3)
    assert stretches.of(100, 0.8) == pytest.approx(1.0 + (late - 1.0) / 8)
    assert stretches.of(100, 0.05) == pytest.approx(1.0 + (late - 1.0) * 2)
    assert stretches.of(100, 1e-4) == 4.0  # never more than what is no chance
    stretches.learn(100, 0.8, 5.0, alike=0)
    assert stretches.of(100, 0.8) == pytest.approx((1.0 + (late - 1.0) / 8) * (1 + 0.98 / 8))
    assert stretches.of(100, 0.1) == late


def test_the_more_are_under_way_the_less_one_of_them_says() -> None:
    alone, among = Stretches(), Stretches()
    alone.learn(100, 0.1, 1.0, alike=0)
    among.learn(100, 0.1, 1.0, alike=100)
    assert alone.of(100, 0.1) > among.of(100, 0.1) > 1.0
