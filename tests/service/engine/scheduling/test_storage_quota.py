"""Who may store how much: the large leave quota for the small, one is let in beyond the limit, nothing is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.engine.scheduling.storage_quota import StorageQuota


def test_whoever_takes_leaves_as_much_free() -> None:
    quota = StorageQuota(100)
    assert quota.take(0, 50)
    assert quota.take(1, 25)
    assert quota.take(2, 13)  # beyond the rule: the one exception
    assert not quota.take(3, 13)
    assert quota.take(4, 12)
    assert (quota.taken_bytes, quota.holders) == (87, 4)


def test_nobody_is_too_large_and_only_one_at_a_time() -> None:
    quota = StorageQuota(100)
    assert quota.take(0, 1000)
    assert not quota.take(1, 1000)
    quota.give_back(0)
    assert quota.take(1, 1000)
    assert quota.taken_bytes == 0


def test_whoever_took_none_gives_none_back() -> None:
    quota = StorageQuota(100)
    quota.give_back(0)
    assert (quota.taken_bytes, quota.holders) == (0, 0)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(0, 150)), max_size=60))
def test_the_limit_holds_but_for_one_and_everything_comes_back(moves: list[tuple[bool, int, int]]) -> None:
    quota, held = StorageQuota(100), dict[int, int]()
    for taking, identity, needed in moves:
        if taking and identity not in held and quota.take(identity, needed):
            held[identity] = needed
        elif not taking:
            quota.give_back(identity)
            held.pop(identity, None)
        assert quota.holders == len(held)
        assert quota.taken_bytes <= 100
        assert sum(held.values()) <= quota.taken_bytes + max(held.values(), default=0)
    for identity in held:
        quota.give_back(identity)
    assert (quota.taken_bytes, quota.holders) == (0, 0)
