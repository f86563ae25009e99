from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.engine.facts import VersionKey
from cellserve.service.registry.memory.budget import Held, default_budget, refusal_words, who_goes

A, B, C = (VersionKey(name, 1) for name in "abc")

versions = st.lists(
    st.builds(
        Held,
        st.builds(VersionKey, st.sampled_from("abcdef"), st.integers(1, 3)),
        st.integers(0, 50),
        st.floats(0, 10),
        st.sampled_from(["", "", "pinned"]),
    ),
    max_size=12,
    unique_by=lambda one: one.key,
)


def test_nobody_goes_while_there_is_room() -> None:
    assert who_goes(100, 40, [Held(A, 60, 1.0)]) == []


def test_the_longest_unused_goes_first_and_no_more_than_must() -> None:
    held = [Held(A, 30, 3.0), Held(B, 30, 1.0), Held(C, 30, 2.0)]
    assert who_goes(100, 40, held) == [B]
    assert who_goes(100, 41, held) == [B, C]


def test_what_must_stay_stays_and_then_nobody_goes_in_vain() -> None:
    assert who_goes(100, 50, [Held(A, 60, 1.0, "is stable"), Held(B, 30, 2.0)]) is None
    assert who_goes(100, 40, [Held(A, 60, 1.0, "is stable"), Held(B, 30, 2.0)]) == [B]


@given(st.integers(1, 100), st.integers(0, 100), versions)
def test_who_goes_may_go_makes_room_and_would_not_without_the_last(budget: int, needed: int, held: list[Held]) -> None:
    going = who_goes(budget, needed, held)
    known = {one.key: one for one in held}
    staying = sum(one.bytes for one in held if one.stays)
    if going is None:
        assert staying + needed > budget
        return
    assert not any(known[key].stays for key in going)
    assert len(set(going)) == len(going)
    left = sum(one.bytes for one in held) - sum(known[key].bytes for key in going)
    assert left + needed <= budget
    if going:
        assert left + known[going[-1]].bytes + needed > budget
        oldest_left = [one.used_seconds for one in held if not one.stays and one.bytes and one.key not in going]
        assert all(known[key].used_seconds <= used for key in going for used in oldest_left)


def test_a_refusal_tells_the_numbers_and_who_has_what() -> None:
    mib = 1 << 20
    words = refusal_words(C, 100 * mib, 50 * mib, [Held(A, 60 * mib, 1.0, "is stable"), Held(B, 30 * mib, 2.0)])
    assert "it needs 50.0 MiB of memory, and --memory-bytes is 100.0 MiB" in words
    assert "90.0 MiB are in use: a/1 60.0 MiB (is stable), b/1 30.0 MiB;" in words
    assert "publish a smaller version" in refusal_words(C, 100, 101, [])


def test_the_default_is_a_share_of_what_there_is() -> None:
    assert default_budget(1000) == 800
    assert default_budget(None) == 0
