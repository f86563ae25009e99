"""The door: continuous batching shown by iteration numbers, admission, versions, implementations, several workers."""

from __future__ import annotations

import numpy as np
import pytest

from cellserve.models.measuring.traffic import TRAFFIC_KINDS, TrafficKind
from cellserve.service.engine.asker import Asker
from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import (
    Cancelled,
    DeadlineExpired,
    Draining,
    InvalidInput,
    Overloaded,
    UnknownImplementation,
    UnknownVersion,
    UnsupportedImplementation,
)
from tests.fakes import FakeClock, FakeNetwork, running_sum
from tests.service.engine.driving import KEY, HandDriven, steps, work


def costly(seconds_per_step: float, **settings: float) -> HandDriven:
    clock = FakeClock()
    return HandDriven(FakeNetwork(clock=clock, cost=lambda rows, count: count * seconds_per_step), clock, **settings)


def test_a_short_sequence_overtakes_a_long_one() -> None:
    driven = costly(1e-4)
    long = driven.engine.submit(work(steps(10_000)))
    for _ in range(5):
        driven.iterate()
    short = driven.engine.submit(work(steps(5)))
    before = len(driven.observer.iterations)
    driven.iterate()
    (delivery,) = driven.box.all
    assert delivery.sequence_id == short
    assert delivery.iterations == 1
    assert len(driven.observer.iterations) == before + 1
    np.testing.assert_array_equal(delivery.outputs[0], running_sum(steps(5))[0])
    assert driven.lane.active_sequences == 1  # the long one is live

    driven.engine.cancel(long)
    driven.iterate()
    assert len(driven.observer.iterations) == before + 1  # not one chunk more
    assert isinstance(driven.box.of(long).error, Cancelled)
    assert (driven.lane.rows_used, driven.lane.waiting_timesteps) == (0, 0)


def test_chunks_keep_to_the_join_latency_and_grow_when_nobody_comes() -> None:
    driven = costly(1e-4)
    driven.engine.submit(work(steps(2_000)))
    driven.finish()
    seconds = [fact.seconds for fact in driven.observer.iterations]
    assert max(seconds) <= 0.0101
    assert seconds[0] < 0.002
    assert seconds[-3] > 0.0045  # with one active: half of what it would be with many

    for _ in range(100):  # five for each chunk: arrivals are frequent, and all are soon gone
        for _ in range(5):
            driven.clock.advance(0.001)
            driven.engine.submit(work(steps(20)))
        driven.iterate()
    recent = [fact.seconds for fact in driven.observer.iterations[-50:]]
    assert max(recent) <= 0.0022


def test_chunks_grow_where_everybody_is_there_for_long() -> None:
    driven = costly(1e-4, max_batch_rows=4)

    def longest_seconds(in_flight: int) -> float:
        for _ in range(2000):
            while driven.lane.waiting_timesteps < 400 * (in_flight - 1):
                driven.clock.advance(1e-5)
                driven.engine.submit(work(steps(400)))
                driven.engine.workers[0].obey_commands(wait=False)
            driven.iterate()
        return max(fact.seconds for fact in driven.observer.iterations[-50:])

    assert 0.004 <= longest_seconds(4) <= 0.006  # a tenth of the 40 ms and more that each is there
    assert 0.006 < longest_seconds(20) <= 0.0101


def test_a_stalled_iteration_does_not_wreck_the_next_chunks() -> None:
    clock = FakeClock()
    stall = iter([0.0] * 20 + [3.0] + [0.0] * 10_000)
    driven = HandDriven(FakeNetwork(clock=clock, cost=lambda rows, count: count * 1e-4 + next(stall)), clock)
    driven.engine.submit(work(steps(5_000)))
    driven.finish()
    after = [fact.steps for fact in driven.observer.iterations[22:-1]]
    assert min(after) >= 45


def test_what_is_not_there() -> None:
    driven = HandDriven()
    with pytest.raises(UnknownVersion, match="sums/2 is not loaded"):
        driven.engine.submit(work(steps(1), version=VersionKey("sums", 2)))
    with pytest.raises(UnknownImplementation, match="offers 0, 1, 2"):
        driven.engine.submit(work(steps(1), implementation="jit"))
    with pytest.raises(UnsupportedImplementation, match="sums are not fused"):
        driven.engine.submit(work(steps(1), implementation="fused"))
    with pytest.raises(InvalidInput, match="at least one time step"):
        driven.engine.submit(work(steps(0)))
    with pytest.raises(UnsupportedImplementation):
        driven.engine.add_version(VersionKey("sums", 2), FakeNetwork(), "fused")
    with pytest.raises(ValueError, match="already"):
        driven.engine.add_version(KEY, FakeNetwork())
    driven.finish()
    assert driven.box.all == []
    assert driven.lane.waiting_timesteps == 0


def test_the_default_implementation_of_a_version() -> None:
    driven = HandDriven()
    other = VersionKey("sums", 2)
    driven.engine.add_version(other, FakeNetwork(), "0")
    ids = [driven.engine.submit(work(steps(1), version=version)) for version in (KEY, other)]
    driven.finish()
    assert [driven.box.of(identity).implementation for identity in ids] == ["2", "0"]


BY_KIND: dict[TrafficKind, str] = {"steps_few": "0", "steps_many": "1", "bulk_few": "2", "bulk_many": "0"}


def test_what_names_no_implementation_gets_that_of_its_kind_and_keeps_it() -> None:
    driven = HandDriven()
    driven.engine.choose(KEY, BY_KIND)
    single, long, named = (
        driven.engine.submit(work(steps(count), implementation=label)) for count, label in ((1, None), (50, None), (1, "2"))
    )
    crowd = [driven.engine.submit(work(steps(50))) for _ in range(8)]
    driven.engine.choose(KEY, dict.fromkeys(BY_KIND, "1"))
    driven.finish()
    found = [driven.box.of(identity).implementation for identity in (single, long, named, *crowd)]
    assert found == ["0", "2", "2", *["2"] * 5, *["0"] * 3]
    again = driven.engine.submit(work(steps(50)))
    driven.finish()
    assert driven.box.of(again).implementation == "1"


def test_a_removed_version_leaves_no_choice_behind() -> None:
    driven = HandDriven()
    driven.engine.choose(KEY, BY_KIND)
    driven.engine.remove_version(KEY)
    with pytest.raises(UnknownVersion):
        driven.engine.choose(KEY, BY_KIND)
    with pytest.raises(UnknownVersion):
        driven.engine.measure(KEY)
    driven.engine.add_version(KEY, FakeNetwork(), "1")
    identity = driven.engine.submit(work(steps(1)))
    driven.finish()
    assert driven.box.of(identity).implementation == "1"


def test_a_choice_that_the_version_cannot_run_is_refused() -> None:
    driven = HandDriven()
    with pytest.raises(UnsupportedImplementation, match="sums are not fused"):
        driven.engine.choose(KEY, {**BY_KIND, "bulk_many": "fused"})
    with pytest.raises(UnknownImplementation, match="'jit' is no implementation"):
        driven.engine.choose(KEY, {**BY_KIND, "bulk_many": "jit"})


def test_a_version_is_measured_over_what_it_offers() -> None:
    measured = HandDriven().engine.measure(KEY)
    assert set(measured.choices.values()) <= {"0", "1", "2"}
    assert set(measured.seconds) == set(TRAFFIC_KINDS)


def measure(driven: HandDriven) -> None:
    """Iterates as often as predictions need."""
    for _ in range(3):
        driven.iterate()


def test_overload_is_refused_with_the_measured_time_to_wait() -> None:
    driven = costly(1e-3, max_waiting_timesteps=1000)
    driven.engine.submit(work(steps(990)))
    with pytest.raises(Overloaded) as unmeasured:
        driven.engine.submit(work(steps(20)))
    assert unmeasured.value.retry_after_seconds == 0.1
    measure(driven)
    waiting = driven.lane.waiting_timesteps
    with pytest.raises(
        Overloaded, match=f"{waiting} time steps are waiting and 500 more would exceed the limit of 1000"
    ) as measured:
        driven.engine.submit(work(steps(500)))
    assert measured.value.retry_after_seconds == pytest.approx((waiting - 500) * 1e-3)
    driven.engine.submit(work(steps(1000 - waiting)))
    driven.finish()
    assert len(driven.box.all) == 2


def test_a_request_is_taken_in_whole_or_not_at_all() -> None:
    driven = costly(1e-3, max_waiting_timesteps=100)
    driven.engine.submit(work(steps(50)))
    soon = driven.clock() + 10.0
    with pytest.raises(Overloaded):
        driven.engine.submit_all([work(steps(20), deadline_seconds=soon)] * 3)
    assert driven.lane.waiting_timesteps == 50
    ids = driven.engine.submit_all([work(steps(20)), work(steps(30))])
    driven.finish()
    assert [driven.box.of(identity).error for identity in ids] == [None, None]
    assert (len(driven.box.all), driven.lane.waiting_timesteps) == (3, 0)


def test_who_would_wait_too_long_without_a_deadline_is_refused() -> None:
    driven = costly(1e-3, max_waiting_seconds=1.0, max_batch_rows=1)
    driven.engine.submit(work(steps(900)))
    measure(driven)
    driven.engine.submit(work(steps(900)))  # waits for less than a second
    ahead = driven.lane.waiting_timesteps * 1e-3
    with pytest.raises(
        Overloaded, match=f"{ahead:.3g} s of work are ahead of this sequence, more than the 1 s that may wait"
    ) as refused:
        driven.engine.submit(work(steps(900)))
    assert refused.value.metadata == {"cause": "wait"}
    assert refused.value.retry_after_seconds is not None
    assert ahead - 1.0 <= refused.value.retry_after_seconds < ahead - 0.8
    assert refused.value.ticket
    live = driven.engine.submit(work(steps(1)), Asker(live=True))  # a live sequence is not refused because of others
    many = driven.engine.submit_all([work(steps(10))] * 3, Asker("other"))
    driven.finish()
    assert {driven.box.of(identity).error for identity in (live, *many)} == {None}


def test_a_request_that_finds_nobody_is_let_in_however_long_it_takes() -> None:
    driven = costly(1e-3, max_waiting_seconds=1.0)
    for _ in range(2):
        ids = driven.engine.submit_all([work(steps(900))] * 5)
        driven.finish()
        assert {driven.box.of(identity).error for identity in ids} == {None}


def test_a_sequence_beyond_the_limit_is_let_into_an_empty_house_only() -> None:
    driven = costly(1e-3, max_waiting_timesteps=100)
    driven.engine.submit(work(steps(200)))
    with pytest.raises(Overloaded):
        driven.engine.submit(work(steps(1)))
    driven.finish()
    driven.engine.submit(work(steps(1)))
    with pytest.raises(Overloaded):
        driven.engine.submit(work(steps(200)))


def test_a_deadline_that_cannot_be_met_is_refused_once_there_are_measurements() -> None:
    driven = costly(1e-3)
    for _ in range(3):
        hopeless = work(steps(1000), deadline_seconds=driven.clock() + 0.5)  # takes 1 s
        accepted = driven.engine.submit(hopeless)
        driven.finish()
        assert isinstance(driven.box.of(accepted).error, DeadlineExpired)
    with pytest.raises(DeadlineExpired, match="at least"):
        driven.engine.submit(work(steps(1000), deadline_seconds=driven.clock() + 0.5))
    with pytest.raises(DeadlineExpired, match="had passed"):
        driven.engine.submit(work(steps(1), deadline_seconds=driven.clock() - 1))
    feasible = driven.engine.submit(work(steps(1000), deadline_seconds=driven.clock() + 1.5))
    driven.finish()
    assert driven.box.of(feasible).error is None


def test_waiting_sequences_count_against_a_deadline() -> None:
    """But those who need not wait for them are served: shorter ones, or under another implementation."""
    driven = costly(1e-3, max_batch_rows=2)
    for label in ("1", "2"):
        driven.engine.submit(work(steps(200), implementation=label))
        driven.finish()
    for _ in range(1000):
        driven.engine.submit(work(steps(100), implementation="2"), Asker(live=True))

    def ask(count: int, label: str = "2") -> int:
        return driven.engine.submit(work(steps(count), implementation=label, deadline_seconds=driven.clock() + 0.4))

    with pytest.raises(Overloaded, match=r"s of work are ahead of this sequence, and its deadline leaves 0\.4 s"):
        ask(100)
    served = [ask(100, "1"), ask(1)]
    driven.finish()
    assert [driven.box.of(identity).error for identity in served] == [None] * len(served)


def test_who_can_no_longer_make_it_is_dropped_before_it_costs_anything() -> None:
    driven = costly(1e-3, max_batch_rows=1)
    driven.engine.submit(work(steps(100)))
    driven.finish()
    begun = driven.engine.submit(work(steps(500)))
    driven.iterate()
    late = driven.engine.submit(work(steps(100), deadline_seconds=driven.clock() + 0.15), Asker(live=True))
    driven.clock.advance(0.09)  # a stall that nobody could foresee
    driven.iterate()
    error = driven.box.of(late).error
    assert isinstance(error, Overloaded)
    assert error.metadata == {"cause": "late"}
    assert error.retry_after_seconds
    assert driven.box.of(late).iterations == 0
    driven.finish()
    assert driven.box.of(begun).error is None


def test_what_a_long_sequence_takes_is_not_guessed_from_short_ones() -> None:
    clock = FakeClock()
    driven = HandDriven(FakeNetwork(clock=clock, cost=lambda rows, count: 1e-4 + count * 1e-6), clock)
    for _ in range(400):
        driven.engine.submit(work(steps(1)))
        driven.finish()
    long = driven.engine.submit(work(steps(100_000), deadline_seconds=clock() + 0.3))
    driven.finish()
    assert driven.box.of(long).error is None


def test_a_removed_version_finishes_what_it_has() -> None:
    driven = costly(1e-4)
    live = driven.engine.submit(work(steps(500)))
    driven.iterate()
    driven.engine.remove_version(KEY)
    driven.engine.remove_version(KEY)
    with pytest.raises(UnknownVersion):
        driven.engine.submit(work(steps(1)))
    assert driven.lane.active_sequences == 1
    newer = FakeNetwork(clock=driven.clock)
    driven.engine.add_version(KEY, newer)  # the same key may come back while the old one finishes
    other = driven.engine.submit(work(steps(3)))
    driven.finish()
    assert driven.box.of(live).error is None
    assert driven.box.of(other).error is None
    assert newer.calls == [(1, 3, "2")]
    driven.engine.remove_version(KEY)
    assert driven.engine.lanes() == []


def test_versions_take_turns() -> None:
    driven = costly(1e-4)
    other = VersionKey("sums", 2)
    driven.engine.add_version(other, FakeNetwork(clock=driven.clock, cost=lambda rows, count: count * 1e-4))
    driven.engine.submit(work(steps(500)))
    driven.engine.submit(work(steps(500), version=other))
    for _ in range(10):
        driven.iterate()
    assert {fact.version for fact in driven.observer.iterations[-2:]} == {KEY, other}
    assert sum(fact.version == KEY for fact in driven.observer.iterations) == 5


def test_the_worker_with_the_least_outstanding_steps_is_chosen() -> None:
    driven = HandDriven(FakeNetwork(interpreted=False), workers=2, max_active_sequences=8)
    ids = [driven.engine.submit(work(steps(count))) for count in (100, 10, 10, 10)]
    assert [identity % 2 for identity in ids] == [0, 1, 1, 1]
    assert len(set(ids)) == 4
    driven.iterate()
    assert (driven.lane.active_sequences, driven.lane.rows_free, driven.lane.rows_used) == (4, 12, 4)
    driven.engine.cancel(ids[0])
    driven.engine.cancel(ids[2])
    driven.finish()
    assert [type(driven.box.of(identity).error) for identity in ids] == [Cancelled, type(None), Cancelled, type(None)]


def test_a_loop_of_python_keeps_to_one_worker_for_each_version() -> None:
    driven = HandDriven(FakeNetwork(interpreted=False), workers=2, max_active_sequences=8)
    other = VersionKey("sums", 2)
    driven.engine.add_version(other, FakeNetwork())
    for label in ("0", "1", "2"):
        ids = [driven.engine.submit(work(steps(5), implementation=label)) for _ in range(3)]
        assert {identity % 2 for identity in ids} == {0}
        assert driven.engine.submit(work(steps(5), version=other, implementation=label)) % 2 == 1
    driven.finish()
    ids = [driven.engine.submit(work(steps(5), implementation="onnxruntime")) for _ in range(4)]
    assert [identity % 2 for identity in ids] == [0, 1, 0, 1]
    driven.finish()


def test_outputs_belong_to_their_sequence() -> None:
    """What was delivered is not a window on memory that the next batch writes to."""
    driven = HandDriven()
    first = driven.engine.submit(work(steps(4), want_state=True))
    driven.finish()
    delivery = driven.box.of(first)
    kept = [output.copy() for output in delivery.outputs]
    driven.engine.submit(work(np.full((4, 2), 5.0, np.float32), want_state=True))
    driven.finish()
    for output, copy in zip(delivery.outputs, kept):
        np.testing.assert_array_equal(output, copy)
    assert delivery.state is not None
    np.testing.assert_array_equal(delivery.state, kept[1])


def test_stop_without_threads_ends_everybody() -> None:
    driven = costly(1e-4)
    ids = [driven.engine.submit(work(steps(1000))) for _ in range(3)]
    driven.iterate()
    ids.append(driven.engine.submit(work(steps(1000))))
    driven.engine.stop()
    driven.engine.stop()
    assert all(isinstance(driven.box.of(identity).error, Draining) for identity in ids)
    assert {fact.reason for fact in driven.observer.ends} == {"drained"}
    with pytest.raises(Draining):
        driven.engine.submit(work(steps(1)))
    assert driven.lane.rows_used == 0
