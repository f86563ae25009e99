"""The four properties that carry the engine, on the running-sum network: batch-mates are invisible, chunking is invisible,
rows are conserved, every sequence ends exactly once. And the guard around each batch.
"""

from __future__ import annotations

import gc
import logging
import weakref
from contextlib import suppress
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellserve.service.engine.facts import IterationFact, IterationLog, SequenceFact
from cellserve.service.errors import Cancelled, DeadlineExpired, InternalFailure, Overloaded
from tests.fakes import POISON, FakeClock, FakeNetwork, RecordingObserver, running_sum
from tests.service.engine.driving import KEY, HandDriven, steps, work

WIDTH = 2


@st.composite
def sequences(draw: st.DrawFn) -> dict[str, Any]:
    """Options of one Work: inputs of any length, perhaps a mask, an initial state, an implementation, a priority."""
    length = draw(st.integers(1, 40))
    numbers = st.integers(-9, 9)
    inputs = draw(st.lists(st.lists(numbers, min_size=WIDTH, max_size=WIDTH), min_size=length, max_size=length))
    mask = draw(st.none() | st.lists(st.booleans(), min_size=length, max_size=length))
    state = draw(st.none() | st.lists(numbers, min_size=WIDTH, max_size=WIDTH))
    return {
        "inputs": np.array(inputs, np.float32),
        "mask": None if mask is None else np.array(mask),
        "state": None if state is None else np.array(state, np.float32),
        "implementation": draw(st.sampled_from([None, "0", "1", "2"])),
        "priority": draw(st.integers(0, 2)),
        "want_state": draw(st.booleans()),
    }


@settings(deadline=None)
@given(
    members=st.lists(sequences(), min_size=1, max_size=12),
    arrivals=st.lists(st.integers(0, 3), min_size=12, max_size=12),
    max_batch_rows=st.integers(1, 5),
    pool_rows=st.integers(1, 6),
    step_seconds=st.sampled_from([1e-6, 3e-4, 1.0]),  # long chunks, middling ones, one step each
    causal=st.booleans(),
)
def test_batch_mates_and_chunks_are_invisible(
    members: list[dict[str, Any]], arrivals: list[int], max_batch_rows: int, pool_rows: int, step_seconds: float, causal: bool
) -> None:
    clock = FakeClock()
    network = FakeNetwork(WIDTH, clock=clock, cost=lambda rows, count: count * step_seconds, causal=causal)
    driven = HandDriven(network, clock, max_batch_rows=max_batch_rows, max_active_sequences=pool_rows, max_waiting_seconds=1e9)
    ids = []
    for options, turns in zip(members, arrivals):
        ids.append(driven.engine.submit(work(**options)))
        for _ in range(turns):
            driven.iterate()
    driven.finish()
    for identity, options in zip(ids, members):
        delivery = driven.box.of(identity)
        sums, end = running_sum(options["inputs"], options["mask"], options["state"])
        assert delivery.error is None
        np.testing.assert_array_equal(delivery.outputs[0], sums)
        np.testing.assert_array_equal(delivery.outputs[1], end)
        if options["want_state"]:
            assert delivery.state is not None
            np.testing.assert_array_equal(delivery.state, end)
        else:
            assert delivery.state is None
        assert delivery.implementation == (options["implementation"] or "2")
        assert delivery.steps == len(sums)
    assert all(rows <= max_batch_rows for rows, _, _ in network.calls)
    passes = 1 if causal else 3
    assert sum(fact.timesteps for fact in driven.observer.iterations) == passes * sum(
        len(options["inputs"]) for options in members
    )
    assert sum(fact.seconds for fact in driven.observer.iterations) == pytest.approx(
        sum(delivery.compute_seconds for delivery in driven.box.all)
    )


operations = st.lists(
    st.sampled_from(["submit", "submit", "doomed", "poisoned", "cancel", "iterate", "iterate", "wait", "remove"]), max_size=60
)


@settings(deadline=None)
@given(operations, st.integers(1, 4), st.integers(1, 5), st.booleans(), st.randoms(use_true_random=False))
def test_rows_are_conserved_and_every_sequence_ends_once(
    names: list[str], max_batch_rows: int, pool_rows: int, causal: bool, chance: Any
) -> None:
    clock = FakeClock()
    network = FakeNetwork(WIDTH, clock=clock, cost=lambda rows, count: count * 1e-3, causal=causal)
    driven = HandDriven(network, clock, max_batch_rows=max_batch_rows, max_active_sequences=pool_rows, max_waiting_seconds=1e9)
    ids: list[int] = []
    removed = False
    for name in names:
        if name in ("submit", "doomed", "poisoned") and not removed:
            inputs = steps(chance.randint(1, 30))
            if name == "poisoned":
                inputs[chance.randrange(len(inputs))] = POISON
            deadline = clock() + chance.uniform(0.1, 1.0) if name == "doomed" else None
            with suppress(DeadlineExpired, Overloaded):  # by what is known already
                ids.append(driven.engine.submit(work(inputs, deadline_seconds=deadline)))
        elif name == "cancel" and ids:
            driven.engine.cancel(chance.choice(ids))  # perhaps ended already, perhaps for the second time
        elif name == "wait":
            clock.advance(0.05)
        elif name == "iterate":
            driven.iterate()
        elif name == "remove" and chance.random() < 0.1:
            driven.engine.remove_version(KEY)
            removed = True
        for fact in driven.engine.lanes():
            assert fact.rows_free + fact.rows_used == pool_rows
            assert fact.rows_used == fact.active_sequences
            assert fact.waiting_timesteps >= 0
    driven.finish()
    for fact in driven.engine.lanes():
        assert (fact.rows_used, fact.active_sequences, fact.waiting_timesteps) == (0, 0, 0)
    assert sorted(delivery.sequence_id for delivery in driven.box.all) == ids
    reasons = {None: "done", Cancelled: "cancelled", DeadlineExpired: "expired", Overloaded: "dropped", InternalFailure: "failed"}
    for delivery, fact in zip(driven.box.all, driven.observer.ends, strict=True):
        assert reasons[None if delivery.error is None else type(delivery.error)] == fact.reason
        assert bool(delivery.outputs) == (delivery.error is None)


@pytest.mark.parametrize("causal", [True, False])
def test_a_row_that_raises_fails_alone(causal: bool, caplog: pytest.LogCaptureFixture) -> None:
    network = FakeNetwork(WIDTH, causal=causal)
    driven = HandDriven(network, max_batch_rows=2)
    poison = np.full((3, WIDTH), POISON, np.float32)
    ids = [driven.engine.submit(work(inputs)) for inputs in (poison, steps(4), steps(5), steps(6))]
    with caplog.at_level(logging.CRITICAL):
        driven.finish()
    errors = [driven.box.of(identity).error for identity in ids]
    assert [type(error) for error in errors] == [InternalFailure, type(None), type(None), type(None)]
    assert "poisoned" not in str(errors[0])
    assert driven.engine.healthy
    assert driven.lane.rows_used == 0
    for identity, inputs in zip(ids[1:], (steps(4), steps(5), steps(6))):
        np.testing.assert_array_equal(driven.box.of(identity).outputs[0], running_sum(inputs)[0])


def test_the_cause_of_a_failed_batch_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    driven = HandDriven()
    driven.engine.submit(work(np.full((1, WIDTH), POISON, np.float32)))
    driven.finish()
    assert "sums/1: a batch of 1 sequences failed under implementation '2'" in caplog.text
    assert "RuntimeError: poisoned" in caplog.text


def test_an_observer_that_raises_costs_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(RecordingObserver):
        def on_iteration(self, fact: IterationFact) -> None:
            raise ValueError("no such series")

        def on_sequence_end(self, fact: SequenceFact) -> None:
            raise ValueError("no such series")

    driven = HandDriven(observer=Broken())
    identity = driven.engine.submit(work(steps(3)))
    driven.finish()
    assert driven.box.of(identity).error is None
    assert len(caplog.records) == 2


def test_shares_and_waits() -> None:
    """Two sequences of 2 and 6 steps in one iteration of 8 ms, after 5 ms in the queue."""
    clock = FakeClock()
    driven = HandDriven(FakeNetwork(WIDTH, clock=clock, cost=lambda rows, count: 0.008), clock)
    ids = [driven.engine.submit(work(steps(count))) for count in (2, 6)]
    clock.advance(0.005)
    driven.finish()
    deliveries = [driven.box.of(identity) for identity in ids]
    assert [delivery.iterations for delivery in deliveries] == [1, 1]
    assert [delivery.queue_seconds for delivery in deliveries] == pytest.approx([0.005, 0.005])
    assert [delivery.compute_seconds for delivery in deliveries] == pytest.approx([0.002, 0.006])
    (fact,) = driven.observer.iterations
    assert (fact.rows, fact.steps, fact.timesteps) == (2, 6, 8)
    assert fact.padding_ratio == pytest.approx(1 / 3)


@pytest.mark.parametrize("causal", [True, False])
def test_a_traced_sequence_tells_of_each_of_its_iterations_and_its_mates_of_none(causal: bool) -> None:
    clock, log = FakeClock(), IterationLog()
    network = FakeNetwork(WIDTH, clock=clock, cost=lambda rows, count: count * 1e-3, causal=causal)
    driven = HandDriven(network, clock, max_waiting_seconds=1e9)
    for length, own in ((30, log), (20, log), (7, None)):
        driven.engine.submit(work(steps(length), iteration_log=own))
    driven.finish()
    passes = 1 if causal else 3
    assert sum(share.own_steps for share in log.shares) == passes * 50
    assert all(share.own_rows <= share.rows and share.own_steps <= share.rows * share.steps for share in log.shares)
    assert max(share.own_rows for share in log.shares) == 2
    told = {(fact.rows, fact.steps, fact.seconds) for fact in driven.observer.iterations}
    assert {(share.rows, share.steps, share.seconds) for share in log.shares} <= told
    ends = [share.began_seconds + share.seconds for share in log.shares]
    assert all(end <= share.began_seconds + 1e-9 for end, share in zip(ends, log.shares[1:]))
    assert ends[-1] <= clock() + 1e-9


def test_states_at_inner_ends_are_asked_of_the_network_only_if_somebody_wants_one() -> None:
    asked: list[bool] = []

    class Watching(FakeNetwork):
        def advance(self, *arguments: Any, ended_states: bool = True, **options: Any) -> Any:
            asked.append(ended_states)
            return super().advance(*arguments, ended_states=ended_states, **options)

    driven = HandDriven(Watching(WIDTH))
    for short_wants, long_wants in ((False, False), (False, True), (True, False)):
        driven.engine.submit(work(steps(2), want_state=short_wants))
        driven.engine.submit(work(steps(6), want_state=long_wants))
        driven.finish()
    assert [fact.timesteps for fact in driven.observer.iterations] == [8, 8, 8]
    assert asked == [False, False, True]


def test_masks_reach_the_network_only_when_a_row_has_one() -> None:
    masks: list[Any] = []

    class Watching(FakeNetwork):
        def advance(self, *arguments: Any, mask: Any = None, **options: Any) -> Any:
            masks.append(mask)
            return super().advance(*arguments, mask=mask, **options)

    driven = HandDriven(Watching(WIDTH))
    driven.engine.submit(work(steps(2)))
    driven.finish()
    driven.engine.submit(work(steps(2), mask=np.array([True, False])))
    driven.engine.submit(work(steps(2)))
    driven.finish()
    assert masks[0] is None
    assert masks[1].tolist() == [[True, True], [False, True]]


def test_waiting_work_that_expired_or_was_cancelled_costs_nothing() -> None:
    clock = FakeClock()
    network = FakeNetwork(WIDTH)
    driven = HandDriven(network, clock)
    expired = driven.engine.submit(work(steps(5), deadline_seconds=clock() + 1))
    cancelled = driven.engine.submit(work(steps(5)))
    clock.advance(2)
    driven.engine.cancel(cancelled)
    driven.finish()
    assert network.calls == []
    assert "0 of 5 time steps" in str(driven.box.of(expired).error)
    assert isinstance(driven.box.of(cancelled).error, Cancelled)
    assert driven.box.of(expired).queue_seconds == pytest.approx(2)


def test_running_work_expires_between_two_chunks() -> None:
    clock = FakeClock()
    network = FakeNetwork(WIDTH, clock=clock, cost=lambda rows, count: count * 1e-3)
    driven = HandDriven(network, clock)
    identity = driven.engine.submit(work(steps(1000), deadline_seconds=clock() + 0.1))
    driven.finish()
    delivery = driven.box.of(identity)
    assert isinstance(delivery.error, DeadlineExpired)
    assert delivery.iterations == len(network.calls) > 1
    assert 0.1 <= sum(count for _, count, _ in network.calls) * 1e-3 <= 0.12


LONG_STEPS = 100_000


def beside_a_long_one(causal: bool = False) -> tuple[HandDriven, FakeNetwork, int]:
    """An engine in the middle of one sequence of LONG_STEPS steps, each of which costs 10 us in each pass."""
    clock = FakeClock()
    network = FakeNetwork(WIDTH, clock=clock, cost=lambda rows, count: count * 1e-5, causal=causal)
    driven = HandDriven(network, clock)
    return driven, network, driven.engine.submit(work(steps(LONG_STEPS)))


@pytest.mark.parametrize("passes_done", [0, 0.5, 1.5, 2.5])
def test_a_short_request_ends_a_few_iterations_after_it_came_to_a_very_long_one(passes_done: float) -> None:
    driven, _, long = beside_a_long_one()
    driven.iterate()
    while sum(fact.timesteps for fact in driven.observer.iterations) < passes_done * LONG_STEPS:
        driven.iterate()
    short = driven.engine.submit(work(steps(8)))
    for _ in range(7):  # at most two for each of three passes, and the one that was under way
        driven.iterate()
    assert driven.box.of(short).error is None
    assert driven.lane.active_sequences == 1
    np.testing.assert_array_equal(driven.box.of(short).outputs[0], running_sum(steps(8))[0])
    driven.engine.cancel(long)
    driven.finish()


def test_the_short_do_not_starve_the_long_one() -> None:
    """One more short one comes with every iteration; the long one keeps at least a quarter of the time."""
    clock = FakeClock()
    driven = HandDriven(FakeNetwork(WIDTH, clock=clock, cost=lambda rows, count: count * 1e-5, causal=False), clock)
    started = clock()
    long = driven.engine.submit(work(steps(5000)))
    while long not in {delivery.sequence_id for call in driven.box.calls[-1:] for delivery in call}:
        driven.engine.submit(work(steps(20)))
        driven.iterate()
        assert clock() - started < 4 * 3 * 5000 * 1e-5
    np.testing.assert_array_equal(driven.box.of(long).outputs[0], running_sum(steps(5000))[0])


@pytest.mark.parametrize("late", range(20))
def test_a_long_one_is_cut_whichever_call_was_late(late: int) -> None:
    """If it is the first for all passes, and all requests are short, the fit says that time steps cost nothing."""
    clock, calls = FakeClock(), count()

    def cost(rows: int, steps: int) -> float:
        return 1e-4 + 1e-6 * steps * rows + (2e-3 if next(calls) == late else 0.0)

    driven = HandDriven(FakeNetwork(WIDTH, clock=clock, cost=cost, causal=False), clock)
    for _ in range(30):
        driven.engine.submit(work(steps(20)))
        driven.finish()
    driven.engine.submit(work(steps(100_000)))
    while len(driven.observer.ends) < 31:
        before = clock()
        driven.iterate()
        assert clock() - before < 2 * 0.010


def test_an_idle_lane_keeps_no_requests() -> None:
    for causal in (True, False):
        driven = HandDriven(FakeNetwork(WIDTH, causal=causal))
        given = steps(5000)
        kept = weakref.ref(given)
        driven.engine.submit(work(given))
        driven.finish()
        driven.box.calls.clear()
        del given
        gc.collect()
        assert kept() is None


@pytest.mark.parametrize("ending", ["cancelled", "expired", "failed"])
def test_what_is_stored_between_passes_is_freed_however_the_sequence_ends(ending: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)  # a captured record would hold the memory through its traceback
    clock = FakeClock()
    broken: list[bool] = []

    def before() -> None:
        if broken:
            raise RuntimeError("out of order")

    network = FakeNetwork(WIDTH, clock=clock, cost=lambda rows, count: count * 1e-5, causal=False, before=before)
    driven = HandDriven(network, clock)
    identity = driven.engine.submit(work(steps(5000), deadline_seconds=clock() + 10))
    for _ in range(20):
        driven.iterate()
    assert network.passes is not None
    assert [memory.stored_bytes > 0 for memory in network.passes.memories] == [True]
    if ending == "cancelled":
        driven.engine.cancel(identity)
    elif ending == "expired":
        clock.advance(11)
    else:
        broken.append(True)
    driven.iterate()
    assert driven.observer.ends[0].reason == ending
    assert not network.passes.memories
    assert (driven.lane.rows_used, driven.lane.waiting_timesteps) == (0, 0)


def test_steps_are_outstanding_in_each_pass_and_delivered_once() -> None:
    driven, network, long = beside_a_long_one()
    assert driven.lane.waiting_timesteps == 3 * LONG_STEPS
    driven.iterate()
    computed = sum(fact.timesteps for fact in driven.observer.iterations)
    assert driven.lane.waiting_timesteps == 3 * LONG_STEPS - computed
    driven.engine.cancel(long)
    driven.finish()
    assert driven.lane.waiting_timesteps == 0
    assert driven.box.of(long).steps == driven.observer.ends[0].steps == LONG_STEPS
    assert max(rows for rows, _, _ in network.calls) == 1


def test_short_sequences_take_all_passes_in_one_iteration_once_their_cost_is_known() -> None:
    clock = FakeClock()
    network = FakeNetwork(WIDTH, clock=clock, cost=lambda rows, count: count * 1e-5, causal=False)
    driven = HandDriven(network, clock)
    for _ in range(6):
        driven.engine.submit(work(steps(30)))
        driven.finish()
    identity = driven.engine.submit(work(steps(30)))
    driven.finish()
    assert driven.box.of(identity).iterations == 1
    assert driven.observer.iterations[-1].timesteps == 90
