"""Who may store how much: the large leave room for the small, one is let in beyond the limit, nothing is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.engine.scheduling.storage_room import StorageRoom


def test_whoever_takes_leaves_as_much_free() -> None:
    room = StorageRoom(100)
    assert room.take(0, 50)
    assert room.take(1, 25)
    assert room.take(2, 13)  # beyond the rule: the one exception
    assert not room.take(3, 13)
    assert room.take(4, 12)
    assert (room.taken_bytes, room.holders) == (87, 4)


def test_nobody_is_too_large_and_only_one_at_a_time() -> None:
    room = StorageRoom(100)
    assert room.take(0, 1000)
    assert not room.take(1, 1000)
    room.give_back(0)
    assert room.take(1, 1000)
    assert room.taken_bytes == 0


def test_whoever_took_none_gives_none_back() -> None:
    room = StorageRoom(100)
    room.give_back(0)
    assert (room.taken_bytes, room.holders) == (0, 0)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(0, 150)), max_size=60))
def test_the_limit_holds_but_for_one_and_everything_comes_back(moves: list[tuple[bool, int, int]]) -> None:
    room, held = StorageRoom(100), dict[int, int]()
    for taking, identity, needed in moves:
        if taking and identity not in held and room.take(identity, needed):
            held[identity] = needed
        elif not taking:
            room.give_back(identity)
            held.pop(identity, None)
        assert room.holders == len(held)
        assert room.taken_bytes <= 100
        assert sum(held.values()) <= room.taken_bytes + max(held.values(), default=0)
    for identity in held:
        room.give_back(identity)
    assert (room.taken_bytes, room.holders) == (0, 0)
