"""The loop on its own thread: many submitters, idle blocking, drain, stop, and a death that nobody misses. Events, no sleeps."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from threading import Event, Thread
from typing import Any

import pytest

from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.engine import Engine, EngineSettings
from cellserve.service.errors import Cancelled, Draining, InternalFailure
from tests.fakes import DeliveryBox, FakeNetwork, RecordingObserver
from tests.service.engine.driving import KEY, steps, work

PATIENCE = 30.0  # seconds; only keeps a broken test from hanging


class Running:
    """An engine with its threads running."""

    def __init__(self, network: Any, deliver: Any = None, **settings: Any) -> None:
        self.box = DeliveryBox()
        self.observer = RecordingObserver()
        self.deaths: list[BaseException] = []
        self.died = Event()
        self.engine = Engine(deliver or self.box, self.observer, EngineSettings(**settings), self._on_death)
        self.engine.add_version(KEY, network)

    def _on_death(self, cause: BaseException) -> None:
        self.deaths.append(cause)
        self.died.set()


@pytest.fixture
def running() -> Iterator[list[Running]]:
    """Whoever is put in is stopped in the end."""
    made: list[Running] = []
    yield made
    for one in made:
        one.engine.stop()


class Gate:
    """Holds a network's calls until opened; says when one has arrived."""

    def __init__(self) -> None:
        self.arrived = Event()
        self.open = Event()

    def __call__(self) -> None:
        self.arrived.set()
        assert self.open.wait(PATIENCE)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cores are bound on Linux only")
def test_workers_are_bound_to_the_cores_given_and_nobody_else_is(running: list[Running]) -> None:
    usable = sorted(os.sched_getaffinity(0))
    seen: set[tuple[int, ...]] = set()
    cores = tuple(usable[-1:])
    network = FakeNetwork(before=lambda: seen.add(tuple(sorted(os.sched_getaffinity(0)))), interpreted=False)
    one = Running(network, workers=2, worker_cores=cores)
    running.append(one)
    one.engine.start()
    for _ in range(4):
        one.engine.submit(work(steps(3)))
    assert one.engine.drain(PATIENCE)
    assert seen == {cores}
    assert sorted(os.sched_getaffinity(0)) == usable


@pytest.mark.parametrize("workers", [1, 3])
def test_many_submitters_each_get_one_answer_for_each_sequence(running: list[Running], workers: int) -> None:
    settings = {"workers": workers, "max_batch_rows": 8, "max_active_sequences": 16}
    one = Running(FakeNetwork(interpreted=False), max_waiting_seconds=1e6, **settings)  # nobody is refused on a busy machine
    running.append(one)
    one.engine.start()
    ids: list[list[int]] = [[] for _ in range(4)]

    def submit(mine: list[int], seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(100):
            mine.append(one.engine.submit(work(steps(chance.randint(1, 30)))))
            if chance.random() < 0.2:
                one.engine.cancel(chance.choice(mine))

    threads = [Thread(target=submit, args=(mine, seed)) for seed, mine in enumerate(ids)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    deliveries = one.box.wait(400)
    assert one.engine.drain(PATIENCE)
    assert sorted(delivery.sequence_id for delivery in deliveries) == sorted(identity for mine in ids for identity in mine)
    assert len(one.box.all) == 400
    assert {type(delivery.error) for delivery in deliveries} <= {type(None), Cancelled}
    (fact,) = one.engine.lanes()
    assert (fact.rows_used, fact.waiting_timesteps) == (0, 0)
    assert len(one.observer.ends) == 400


def test_at_most_one_call_of_deliver_per_iteration(running: list[Running]) -> None:
    one = Running(FakeNetwork())
    running.append(one)
    for _ in range(10):
        one.engine.submit(work(steps(3)))
    one.engine.start()
    one.box.wait(10)
    assert [len(call) for call in one.box.calls] == [10]


def test_a_version_may_arrive_while_the_loop_is_busy(running: list[Running]) -> None:
    gate = Gate()
    one = Running(FakeNetwork(before=gate))
    running.append(one)
    one.engine.start()
    one.engine.submit(work(steps(3)))
    assert gate.arrived.wait(PATIENCE)
    other = KEY._replace(version=2)
    one.engine.add_version(other, FakeNetwork())
    identity = one.engine.submit(work(steps(3), version=other))
    gate.open.set()
    one.box.wait(2)
    assert one.box.of(identity).error is None


def test_drain_waits_for_what_is_live_and_refuses_the_rest(running: list[Running]) -> None:
    gate = Gate()
    one = Running(FakeNetwork(before=gate))
    running.append(one)
    one.engine.start()
    identity = one.engine.submit(work(steps(3)))
    assert gate.arrived.wait(PATIENCE)
    assert not one.engine.drain(0.0)
    with pytest.raises(Draining):
        one.engine.submit(work(steps(3)))
    gate.open.set()
    assert one.engine.drain(PATIENCE)
    assert one.box.of(identity).error is None
    assert one.engine.healthy


def test_stop_in_the_middle_drains_what_is_left(running: list[Running]) -> None:
    gate = Gate()
    one = Running(FakeNetwork(before=gate))
    one.engine.start()
    ids = [one.engine.submit(work(steps(1000))) for _ in range(3)]
    assert gate.arrived.wait(PATIENCE)
    stopper = Thread(target=one.engine.stop)
    stopper.start()
    gate.open.set()
    stopper.join(PATIENCE)
    assert not stopper.is_alive()
    assert [type(one.box.of(identity).error) for identity in ids] == [Draining] * 3
    assert not one.deaths
    assert one.engine.drain(PATIENCE)  # nothing is left to wait for


def test_a_dying_loop_fails_every_sequence_and_says_so(running: list[Running], caplog: pytest.LogCaptureFixture) -> None:
    """SystemExit is no failure of a batch: it passes the guard and ends the loop."""
    gate = Gate()

    def die() -> None:
        gate()
        raise SystemExit("out of everything")

    one = Running(FakeNetwork(before=die), max_batch_rows=1)
    running.append(one)
    one.engine.start()
    ids = [one.engine.submit(work(steps(10))) for _ in range(3)]
    assert gate.arrived.wait(PATIENCE)
    ids.append(one.engine.submit(work(steps(10))))  # still in the command queue when the loop dies
    gate.open.set()
    assert one.died.wait(PATIENCE)
    assert sorted(delivery.sequence_id for delivery in one.box.all) == ids
    assert all(isinstance(one.box.of(identity).error, InternalFailure) for identity in ids)
    assert isinstance(one.deaths[0], SystemExit)
    assert not one.engine.healthy
    assert not one.engine.drain(PATIENCE)
    with pytest.raises(InternalFailure):
        one.engine.submit(work(steps(1)))
    one.engine.cancel(ids[0])
    assert "the loop of cellserve-worker-0 died" in caplog.text
    assert {fact.reason for fact in one.observer.ends} == {"failed"}


def test_a_deliver_that_raises_is_a_death_not_a_silence(running: list[Running], caplog: pytest.LogCaptureFixture) -> None:
    def deliver(deliveries: list[Delivery]) -> None:
        raise ConnectionError("nobody listens")

    one = Running(FakeNetwork(), deliver)
    running.append(one)
    one.engine.start()
    one.engine.submit(work(steps(3)))
    assert one.died.wait(PATIENCE)
    assert isinstance(one.deaths[0], ConnectionError)
    assert not one.engine.healthy


def test_a_deliver_that_raises_once_still_hears_of_everybody_else(
    running: list[Running], caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Delivery] = []
    calls = 0

    def deliver(deliveries: list[Delivery]) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ConnectionError("once")
        heard.extend(deliveries)

    one = Running(FakeNetwork(), deliver)
    running.append(one)
    short, long = one.engine.submit(work(steps(3))), one.engine.submit(work(steps(1000)))
    one.engine.start()
    assert one.died.wait(PATIENCE)
    assert [delivery.sequence_id for delivery in heard] == [long]
    assert short != long


def test_a_batch_that_raises_does_not_end_the_loop(running: list[Running]) -> None:
    failures = iter([True, False, False])

    def fail_once() -> None:
        if next(failures):
            raise MemoryError

    one = Running(FakeNetwork(before=fail_once))
    running.append(one)
    one.engine.start()
    first = one.engine.submit(work(steps(3)))
    one.box.wait(1)
    second = one.engine.submit(work(steps(3)))
    one.box.wait(2)
    assert isinstance(one.box.of(first).error, InternalFailure)
    assert one.box.of(second).error is None
    assert one.engine.healthy
