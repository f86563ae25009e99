"""A bounded sample, each of what was offered as likely in it as any other."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from cellserve.service.api.aside.reservoir import Reservoir


def test_all_is_kept_until_it_is_full_and_then_each_is_as_likely() -> None:
    draw = random.Random(7).random
    seen: Counter[int] = Counter()
    for _ in range(2000):
        reservoir: Reservoir[int] = Reservoir(5, 1000, draw)
        for number in range(20):
            reservoir.offer(1, lambda number=number: number)
            assert len(reservoir.items) == min(5, number + 1) == reservoir.bytes
        assert reservoir.offered == 20
        assert len(set(reservoir.items)) == 5
        seen.update(reservoir.items)
    assert all(400 < seen[number] < 600 for number in range(20))  # 500 each, give or take five standard deviations


@pytest.mark.parametrize("seed", range(3))
def test_bytes_are_never_more_than_allowed(seed: int) -> None:
    drawn = random.Random(seed)
    reservoir: Reservoir[int] = Reservoir(50, 100, drawn.random)
    for _ in range(300):
        size = drawn.choice([1, 10, 40, 100, 101])
        reservoir.offer(size, lambda size=size: size)
        assert sum(reservoir.items) == reservoir.bytes <= 100
        assert 101 not in reservoir.items
    assert reservoir.items


def test_nothing_is_made_that_is_not_taken() -> None:
    reservoir: Reservoir[int] = Reservoir(1, 10, lambda: 0.99)
    reservoir.offer(1, lambda: 1)
    reservoir.offer(1, lambda: pytest.fail("it was not drawn"))
    reservoir.offer(11, lambda: pytest.fail("it is too large"))
    assert reservoir.items == [1]
