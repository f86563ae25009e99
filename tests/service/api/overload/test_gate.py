"""Which calls are read at all while there are more than can be."""

from __future__ import annotations

import random

import pytest

from cellserve.service.api.overload.gate import Gate


class Door:
    """Calls come to a gate at a steady rate each second, and of those that are read so many are let in."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.now_seconds = 0.0
        self.random = random.Random(0)

    def run(
        self, seconds: float, per_second: dict[str, int], room_per_second: int, busy: float, lag_seconds: float = 0.0
    ) -> dict[str, tuple[float, float]]:
        """By client: how many each second were read, and let in."""
        read, let_in = dict.fromkeys(per_second, 0), dict.fromkeys(per_second, 0)
        ticks = int(seconds / 0.02)
        room = 0.0
        for _ in range(ticks):
            self.now_seconds += 0.02
            self.gate.measured(self.now_seconds, busy, lag_seconds)
            room = min(room + room_per_second * 0.02, 50.0)
            calls = [client for client, rate in per_second.items() for _ in range(round(rate * 0.02))]
            self.random.shuffle(calls)
            for client in calls:
                if self.gate.open or self.gate.passes(client, self.random.random()):
                    read[client] += 1
                    if room < 1.0 or self.gate.watching:  # as the methods do
                        self.gate.read(client, "refused" if room < 1.0 else "answered")
                    if room >= 1.0:
                        room -= 1.0
                        let_in[client] += 1
        return {client: (read[client] / seconds, let_in[client] / seconds) for client in per_second}


def test_everything_is_read_where_nothing_is_refused() -> None:
    door = Door()
    assert door.run(2.0, {"a": 1000}, 10_000, busy=0.9)["a"][0] == pytest.approx(1000)
    assert door.gate.open


def test_everything_is_read_where_there_is_time_to() -> None:
    door = Door()
    assert door.run(2.0, {"a": 1000}, 100, busy=0.1)["a"][0] == pytest.approx(1000)


def test_where_most_would_be_refused_little_more_is_read_than_is_let_in() -> None:
    door = Door()
    door.run(1.0, {"a": 2000}, 100, busy=0.6)
    read, let_in = door.run(5.0, {"a": 2000}, 100, busy=0.6)["a"]
    assert read < 300
    assert let_in == pytest.approx(100, rel=0.1)


def test_a_client_of_whom_nothing_is_refused_is_read_all_the_same() -> None:
    door = Door()
    for _ in range(200):
        door.now_seconds += 0.02
        door.gate.measured(door.now_seconds, 0.6, 0.0)
        for _ in range(20):
            if door.gate.open or door.gate.passes("flood", door.random.random()):
                door.gate.read("flood", "refused")
        assert door.gate.open or door.gate.passes("other", 0.999)
        door.gate.read("other", "answered")


def test_more_is_read_as_soon_as_there_is_room() -> None:
    door = Door()
    door.run(2.0, {"a": 1000}, 0, busy=0.6)
    door.run(4.0, {"a": 1000}, 2000, busy=0.6)
    assert door.run(1.0, {"a": 1000}, 2000, busy=0.6)["a"][1] > 700


def test_a_lagging_loop_reads_less_of_whoever_sends_most() -> None:
    door = Door()
    door.run(1.0, {"much": 5000, "little": 50}, 100_000, busy=1.0, lag_seconds=0.1)
    told = door.run(2.0, {"much": 5000, "little": 50}, 100_000, busy=1.0, lag_seconds=0.015)
    assert told["little"][0] == pytest.approx(50, rel=0.15)
    assert not door.gate.open


def test_it_opens_again_when_the_loop_has_recovered() -> None:
    door = Door()
    door.run(1.0, {"a": 5000}, 100_000, busy=1.0, lag_seconds=0.1)
    door.run(3.0, {"a": 500}, 100_000, busy=0.2)
    assert door.gate.open
    door.run(5.0, {}, 0, busy=0.0)
    assert not door.gate.watching


def test_a_loop_that_lags_for_another_reason_turns_nobody_away() -> None:
    door = Door()
    read = door.run(3.0, {"most": 900, "some": 50, "few": 5}, 10_000, busy=0.3, lag_seconds=0.05)
    assert {client: rate for client, (rate, _) in read.items()} == pytest.approx({"most": 900, "some": 50, "few": 0}, abs=1)


def test_a_machine_that_slept_is_soon_as_it_was() -> None:
    door = Door()
    door.run(1.0, {"a": 1000}, 10_000, busy=0.5)
    door.gate.measured(door.now_seconds, 0.5, 3600.0)
    assert door.run(1.0, {"a": 1000}, 10_000, busy=0.5)["a"][0] == pytest.approx(1000)
    assert door.gate.lag_seconds < 0.01


def test_what_others_leave_goes_to_whoever_sends_more() -> None:
    door = Door()
    read = door.run(4.0, {"most": 900, "some": 100}, 500, busy=1.0, lag_seconds=0.021)
    assert read["some"][0] == pytest.approx(100, rel=0.1)
    assert read["most"][1] > 350


def test_a_loop_that_lags_by_much_reads_less_than_it_could_serve_until_it_has_caught_up() -> None:
    door = Door()
    door.run(1.0, {"one": 1000}, 500, busy=1.0, lag_seconds=0.021)
    assert door.run(0.3, {"one": 1000}, 500, busy=1.0, lag_seconds=0.2)["one"][0] < 0.7 * 500
    assert door.run(3.0, {"one": 1000}, 500, busy=1.0, lag_seconds=0.0)["one"][1] > 450


def test_while_those_who_were_read_wait_to_begin_no_more_are_read_but_of_who_sends_little() -> None:
    door = Door()
    door.run(1.0, {"flood": 2000}, 100, busy=0.6)
    assert not any(door.gate.passes("flood", 0.0, waited_seconds=0.1) for _ in range(100))
    assert door.gate.passes("other", 0.999, waited_seconds=0.1)


def test_who_was_not_read_because_others_wait_to_begin_does_not_make_fewer_be_read_afterwards() -> None:
    door = Door()
    door.run(1.0, {"flood": 2000}, 500, busy=0.6)
    read = [sum(door.gate.passes("flood", dice / 100) for dice in range(100))]
    for _ in range(1000):
        door.gate.passes("flood", 0.0, waited_seconds=0.1)
    read.append(sum(door.gate.passes("flood", dice / 100) for dice in range(100)))
    assert read[1] > 0.8 * read[0]
    assert not door.gate.open


def test_calls_whose_clients_have_gone_are_no_reason_to_read_as_many_again() -> None:
    gone, served = Gate(), Gate()
    for tick in range(200):
        for gate, outcome in ((gone, "gone"), (served, "answered")):
            gate.measured(0.02 * tick, 1.0, 0.1)
            for number in range(20):
                if gate.open or gate.passes("one", number / 20):
                    gate.read("one", "refused" if number % 2 else outcome)  # type: ignore[arg-type]
    assert sum(gone.passes("one", number / 100) for number in range(100)) < 20
    assert sum(served.passes("one", number / 100) for number in range(100)) > sum(
        gone.passes("one", number / 100) for number in range(100)
    )


def test_a_loop_that_is_all_that_is_short_reads_less_though_nobody_whom_it_reads_is_refused() -> None:
    """The answers that it owes take its time too."""
    door = Door()
    door.run(0.2, {"a": 3000}, 10_000, busy=1.0, lag_seconds=0.1)
    full, _ = door.run(3.0, {"a": 3000}, 10_000, busy=1.0, lag_seconds=0.1)["a"]
    door = Door()
    door.run(0.2, {"a": 3000}, 10_000, busy=0.6, lag_seconds=0.1)
    read, _ = door.run(3.0, {"a": 3000}, 10_000, busy=0.6, lag_seconds=0.1)["a"]
    assert full < 0.7 * read


def test_a_collection_of_garbage_is_no_reason_to_read_less() -> None:
    door = Door()
    door.run(2.0, {"a": 1000}, 10_000, busy=0.6)
    read, _ = door.run(0.2, {"a": 1000}, 10_000, busy=1.0, lag_seconds=0.15)["a"]
    assert read == pytest.approx(1000, rel=0.05)
