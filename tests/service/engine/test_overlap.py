"""A device that works on its own: the next iteration is launched before the last one is collected, and nobody notices.

The properties of test_lane.py, with results that come late, rows that are reused while the device is not done with their last
owners, and failures that show only when an iteration is collected.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from threading import Event
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellserve.models.implementations import LABELS
from cellserve.models.network import Network
from cellserve.service.engine.engine import Engine, EngineSettings
from cellserve.service.errors import Cancelled, DeadlineExpired, Draining, InternalFailure, Overloaded
from tests.examples import examples
from tests.fakes import POISON, DeliveryBox, FakeClock, FakeNetwork, RecordingObserver, running_sum
from tests.models.recording.fakes import FakeRecorder
from tests.service.engine.deferring import FakeDevice
from tests.service.engine.driving import KEY, HandDriven, steps, work
from tests.service.engine.test_lane import WIDTH, sequences
from tests.service.engine.test_on_networks import NETWORKS, Case, alone, cases, weights_of

PATIENCE = 30.0  # seconds; only keeps a broken test from hanging


class Deferred:
    """`driven` by hand, with a network of running sums on `device`, a step of which takes `step_seconds`."""

    def __init__(self, step_seconds: float = 1e-3, fails: Callable[[int], bool] = lambda number: False, **options: Any) -> None:
        self.clock = FakeClock()
        self.device = FakeDevice(self.clock, fails)
        self.network = FakeNetwork(WIDTH, clock=self.device.clock, cost=lambda rows, count: count * step_seconds)
        self.driven = HandDriven(self.network, self.clock, transfers_of=self.device, **{"max_waiting_seconds": 1e9, **options})

    def submit(self, count: int, **options: Any) -> int:
        return self.driven.engine.submit(work(steps(count), **options))

    def iterate_until_all_is_launched(self) -> None:
        while self.driven.lane.active_sequences or not self.device.events:
            self.driven.iterate()


def check_sum(delivery: Any, inputs: np.ndarray, mask: Any = None, state: Any = None) -> None:
    sums, end = running_sum(inputs, mask, state)
    assert delivery.error is None
    np.testing.assert_array_equal(delivery.outputs[0], sums)
    np.testing.assert_array_equal(delivery.outputs[1], end)


@settings(deadline=None)
@given(
    members=st.lists(sequences(), min_size=1, max_size=12),
    arrivals=st.lists(st.integers(0, 3), min_size=12, max_size=12),
    max_batch_rows=st.integers(1, 5),
    pool_rows=st.integers(1, 6),
    step_seconds=st.sampled_from([1e-6, 3e-4, 1.0]),
)
def test_batch_mates_and_chunks_are_invisible(
    members: list[dict[str, Any]], arrivals: list[int], max_batch_rows: int, pool_rows: int, step_seconds: float
) -> None:
    made = Deferred(step_seconds, max_batch_rows=max_batch_rows, max_active_sequences=pool_rows)
    ids = []
    for options, turns in zip(members, arrivals):
        ids.append(made.driven.engine.submit(work(**options)))
        for _ in range(turns):
            made.driven.iterate()
    made.driven.finish()
    for identity, options in zip(ids, members):
        delivery = made.driven.box.of(identity)
        check_sum(delivery, options["inputs"], options["mask"], options["state"])
        assert (delivery.state is not None) == options["want_state"]
        if delivery.state is not None:
            np.testing.assert_array_equal(delivery.state, delivery.outputs[1])
        assert delivery.steps == len(options["inputs"])
    facts, deliveries = made.driven.observer.iterations, made.driven.box.all
    assert sum(fact.timesteps for fact in facts) == sum(len(options["inputs"]) for options in members)
    assert sum(fact.seconds for fact in facts) == pytest.approx(sum(delivery.compute_seconds for delivery in deliveries))
    assert made.device.most_under_way <= 2


operations = st.lists(
    st.sampled_from(["submit", "submit", "doomed", "poisoned", "cancel", "iterate", "iterate", "wait", "remove"]), max_size=60
)


@settings(deadline=None)
@given(operations, st.integers(1, 4), st.integers(1, 5), st.sets(st.integers(0, 20)), st.randoms(use_true_random=False))
def test_rows_are_conserved_and_every_sequence_ends_once(
    names: list[str], max_batch_rows: int, pool_rows: int, failures: set[int], chance: Any
) -> None:
    made = Deferred(fails=failures.__contains__, max_batch_rows=max_batch_rows, max_active_sequences=pool_rows)
    driven, ids, removed = made.driven, list[int](), False
    for name in names:
        if name in ("submit", "doomed", "poisoned") and not removed:
            inputs = steps(chance.randint(1, 30))
            if name == "poisoned":
                inputs[chance.randrange(len(inputs))] = POISON
            deadline = made.clock() + chance.uniform(0.02, 0.2) if name == "doomed" else None
            with suppress(DeadlineExpired, Overloaded):  # by what is known already
                ids.append(driven.engine.submit(work(inputs, deadline_seconds=deadline)))
        elif name == "cancel" and ids:
            driven.engine.cancel(chance.choice(ids))
        elif name == "wait":
            made.clock.advance(0.05)
        elif name == "iterate":
            driven.iterate()
        elif name == "remove" and chance.random() < 0.1:
            driven.engine.remove_version(KEY)
            removed = True
        for fact in driven.engine.lanes():
            assert fact.rows_free + fact.rows_used == pool_rows
            assert fact.rows_used == fact.active_sequences
            assert fact.waiting_timesteps >= 0
        assert driven.busy or not made.device.owes
    driven.finish()
    for fact in driven.engine.lanes():
        assert (fact.rows_used, fact.active_sequences, fact.waiting_timesteps) == (0, 0, 0)
    assert sorted(delivery.sequence_id for delivery in driven.box.all) == ids
    reasons = {None: "done", Cancelled: "cancelled", DeadlineExpired: "expired", Overloaded: "dropped", InternalFailure: "failed"}
    for delivery, fact in zip(driven.box.all, driven.observer.ends, strict=True):
        assert reasons[None if delivery.error is None else type(delivery.error)] == fact.reason
        assert bool(delivery.outputs) == (delivery.error is None)
        assert not any(np.isnan(output).any() for output in delivery.outputs)


def test_the_next_iteration_is_launched_before_the_last_one_is_collected() -> None:
    made = Deferred()
    made.submit(100)
    made.driven.finish()
    events = made.device.events
    assert len(made.driven.observer.iterations) > 5
    assert events == ["launch", *["launch", "wait"] * (events.count("launch") - 1), "wait"]


def test_it_is_busy_until_everything_is_collected() -> None:
    made = Deferred()
    identity = made.submit(1)
    made.driven.iterate()
    assert made.device.owes
    assert made.driven.busy
    assert made.driven.box.all == []
    assert made.driven.lane.waiting_timesteps == 1
    made.driven.iterate()
    assert not made.driven.busy
    check_sum(made.driven.box.of(identity), steps(1))


def test_who_comes_while_the_last_iteration_is_under_way_is_launched_before_it_is_collected() -> None:
    made = Deferred()
    first = made.submit(1)
    made.driven.iterate()
    second = made.submit(1)
    made.driven.iterate()
    assert made.device.events == ["launch", "launch", "wait"]
    assert made.driven.box.of(first).error is None
    made.driven.finish()
    assert made.driven.box.of(second).error is None


def test_a_row_is_used_again_while_its_last_owner_is_under_way() -> None:
    made = Deferred(max_active_sequences=1, max_batch_rows=1)
    ids = [made.submit(3, want_state=True) for _ in range(3)]
    made.driven.finish()
    for identity in ids:
        check_sum(made.driven.box.of(identity), steps(3))
    assert made.device.most_under_way == 2


def test_who_is_cancelled_with_something_under_way_ends_at_once_and_is_collected_in_vain() -> None:
    made = Deferred(max_active_sequences=1)
    cancelled = made.submit(1000)
    made.driven.iterate()
    made.driven.engine.cancel(cancelled)
    newcomer = made.submit(2)
    made.driven.iterate()
    assert isinstance(made.driven.box.of(cancelled).error, Cancelled)
    made.driven.finish()
    check_sum(made.driven.box.of(newcomer), steps(2))
    assert made.driven.lane.waiting_timesteps == 0


def test_a_cancelled_sequence_alone_leaves_it_busy_until_its_iteration_is_collected() -> None:
    made = Deferred()
    made.driven.engine.cancel(made.submit(1000))
    made.driven.finish()
    assert made.device.events == []
    cancelled = made.submit(1000)
    made.driven.iterate()
    made.driven.engine.cancel(cancelled)
    for worker in made.driven.engine.workers:
        worker.obey_commands(wait=False)
    assert isinstance(made.driven.box.of(cancelled).error, Cancelled)
    assert made.driven.busy
    made.driven.iterate()
    assert made.device.events == ["launch", "wait"]
    assert not made.driven.busy


def test_last_steps_under_way_are_delivered_whatever_comes_meanwhile() -> None:
    made = Deferred()
    ids = [made.submit(2, deadline_seconds=made.clock() + 1) for _ in range(2)]
    made.driven.iterate()
    made.driven.engine.cancel(ids[0])
    made.clock.advance(2)
    made.driven.finish()
    for identity in ids:
        check_sum(made.driven.box.of(identity), steps(2))


def test_running_work_expires_with_something_under_way() -> None:
    made = Deferred()
    identity = made.submit(1000, deadline_seconds=made.clock() + 0.1)
    made.driven.finish()
    assert isinstance(made.driven.box.of(identity).error, DeadlineExpired)
    assert made.device.events.count("launch") == made.device.events.count("wait") > 1


def test_a_stop_delivers_what_is_under_way_and_drains_the_rest() -> None:
    made = Deferred()
    short, long = made.submit(2), made.submit(1000)
    while made.driven.lane.active_sequences != 1:
        made.driven.iterate()
    assert made.driven.box.all == []
    made.driven.engine.stop()
    check_sum(made.driven.box.of(short), steps(2))
    assert isinstance(made.driven.box.of(long).error, Draining)
    assert not made.device.owes


def test_a_failure_that_shows_at_collection_fails_those_of_that_batch_only(caplog: pytest.LogCaptureFixture) -> None:
    made = Deferred(fails=lambda number: number == 0, max_batch_rows=1)
    ids = [made.submit(count) for count in (2, 3)]
    with caplog.at_level(logging.CRITICAL):
        made.driven.finish()
    assert [type(made.driven.box.of(identity).error) for identity in ids] == [InternalFailure, type(None)]
    check_sum(made.driven.box.of(ids[1]), steps(3))
    assert made.driven.engine.healthy
    assert (made.driven.lane.rows_used, made.driven.lane.waiting_timesteps) == (0, 0)


def test_who_is_in_two_iterations_under_way_fails_once(caplog: pytest.LogCaptureFixture) -> None:
    made = Deferred(fails=lambda number: number == 1)
    identity = made.submit(1000)
    with caplog.at_level(logging.CRITICAL):
        made.driven.finish()
    assert isinstance(made.driven.box.of(identity).error, InternalFailure)
    assert made.device.events == ["launch", "launch", "wait", "launch", "wait", "wait"]
    assert (made.driven.lane.rows_used, made.driven.lane.waiting_timesteps) == (0, 0)


def test_a_launch_that_fails_spares_what_is_under_way(caplog: pytest.LogCaptureFixture) -> None:
    made = Deferred(max_batch_rows=1)
    good = made.submit(2)
    made.driven.iterate()
    bad = made.driven.engine.submit(work(np.full((1, WIDTH), POISON, np.float32)))
    with caplog.at_level(logging.CRITICAL):
        made.driven.finish()
    assert isinstance(made.driven.box.of(bad).error, InternalFailure)
    check_sum(made.driven.box.of(good), steps(2))


def test_costs_and_facts_are_those_of_the_device() -> None:
    """The host takes a second for each launch; a step takes the device 1 ms."""
    made = Deferred()
    made.submit(50)
    while made.driven.busy or not made.device.events:
        made.driven.iterate()
        made.clock.advance(1.0)
    for fact in made.driven.observer.iterations:
        assert fact.seconds == pytest.approx(fact.steps * 1e-3)


def test_a_newcomer_waits_for_two_iterations_no_longer_than_for_one_elsewhere() -> None:
    made = Deferred(1e-5, join_latency_seconds=0.002, max_chunk_seconds=0.002, max_batch_rows=1)
    for _ in range(2):
        made.submit(5_000)
    made.driven.finish()
    assert 0.0009 <= max(fact.seconds for fact in made.driven.observer.iterations) <= 0.0015


def test_the_loop_never_waits_for_a_command_with_something_under_way() -> None:
    clock, box = FakeClock(), DeliveryBox()
    device = FakeDevice(clock)
    idle = Event()
    engine = Engine(box, RecordingObserver(), EngineSettings(), lambda cause: idle.set(), clock=clock, transfers_of=device)
    engine.add_version(KEY, FakeNetwork(WIDTH, clock=device.clock))
    engine.start()
    try:
        for _ in range(5):
            engine.submit(work(steps(2)))
            box.wait(len(box.all) + 1, PATIENCE)
        cancelled = engine.submit(work(steps(100)))
        engine.cancel(cancelled)
        assert engine.drain(PATIENCE)
        assert not device.owes
        assert len(box.all) == 6
    finally:
        engine.stop()


def test_a_dying_loop_fails_everybody_once_and_looks_at_nothing_under_way(caplog: pytest.LogCaptureFixture) -> None:
    failures = iter([False, True])

    def die() -> None:
        if next(failures):
            raise SystemExit

    clock, box, died = FakeClock(), DeliveryBox(), Event()
    device = FakeDevice(clock)
    engine = Engine(box, RecordingObserver(), EngineSettings(), lambda cause: died.set(), clock=clock, transfers_of=device)
    engine.add_version(KEY, FakeNetwork(WIDTH, clock=device.clock, before=die))
    ids = [engine.submit(work(steps(count))) for count in (2, 1000)]
    engine.start()
    assert died.wait(PATIENCE)
    assert sorted(delivery.sequence_id for delivery in box.all) == ids
    assert all(isinstance(delivery.error, InternalFailure) for delivery in box.all)
    assert device.events == ["launch"]
    (fact,) = engine.lanes()
    assert fact.waiting_timesteps == 0
    engine.stop()


@pytest.mark.parametrize("name", ["stack", "ids"])
def test_real_networks_answer_as_alone(name: str) -> None:
    """Their loops recorded as soon as shapes come again, their numbers late."""
    plain = NETWORKS[name]
    labels = [
        label for label in LABELS if label not in ("onnxruntime", "packed")
    ]  # compute in host memory, where nothing is late
    network = Network(plain.spec, weights_of(plain.spec), recorder=FakeRecorder())

    @settings(deadline=None, max_examples=examples(10))
    @given(cases(labels), st.integers(1, 5), st.integers(2, 6))
    def holds(drawn: list[Case], max_batch_rows: int, pool_rows: int) -> None:
        clock = FakeClock()
        driven = HandDriven(
            network,
            clock,
            transfers_of=FakeDevice(clock),
            max_batch_rows=max_batch_rows,
            max_active_sequences=pool_rows,
        )
        asked = []
        for seed, case in enumerate(drawn):
            asked.append((driven.engine.submit(one := case.work(plain, seed)), one))
            for _ in range(case.turns):
                driven.iterate()
        driven.finish()
        for identity, one in asked:
            delivery = driven.box.of(identity)
            outputs, state = alone(plain, one)
            for ours, expected in zip(delivery.outputs, outputs, strict=True):
                np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=2e-6)
            if delivery.state is not None:
                np.testing.assert_allclose(delivery.state, state, rtol=1e-5, atol=2e-6)

    holds()
