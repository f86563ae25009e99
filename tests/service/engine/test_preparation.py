"""Ways that are not ready yet: refused to the one who submits, prepared once, and then taken."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Barrier, Thread

import numpy as np
import pytest

from cellserve.service.engine.engine import Engine, EngineSettings
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.preparation import Preparation, Unprepared, Way
from cellserve.service.engine.sequence import Work
from cellserve.service.errors import UnsupportedImplementation
from tests.fakes import FakeClock, FakeNetwork, RecordingObserver

KEY = VersionKey("sums", 1)
READY = Way("2", False)


class Proofs:
    """Remembers what was proved. wrong: implementations that it tells `network` of."""

    def __init__(self, network: FakeNetwork, wrong: Iterable[str] = ()) -> None:
        self.network = network
        self.wrong = set(wrong)
        self.proved: list[Way] = []

    def __call__(self, way: Way) -> tuple[Way, ...]:
        self.proved.append(way)
        if way.implementation in self.wrong:
            self.network.implementations[way.implementation] = "its numbers are wrong"
        return (Way(way.implementation, False), Way(way.implementation, True)) if way.masked else (way,)


def engine_of(proofs: Proofs) -> Engine:
    engine = Engine(lambda deliveries: None, RecordingObserver(), EngineSettings(), lambda cause: None, FakeClock())
    engine.add_version(KEY, proofs.network, "2", Preparation(proofs, [READY]))  # type: ignore[arg-type]
    return engine


def work(implementation: str | None = None, masked: bool = False) -> Work:
    mask = np.ones(3, np.bool_) if masked else None
    return Work(KEY, (np.ones((3, 2), np.float32),), mask=mask, implementation=implementation)


def outstanding(engine: Engine) -> int:
    return sum(fact.waiting_timesteps for fact in engine.lanes())


@pytest.mark.parametrize("missing", [work("1"), work(masked=True), work("2", masked=True)])
def test_work_that_needs_what_is_not_ready_is_not_taken_until_it_is(missing: Work) -> None:
    proofs = Proofs(FakeNetwork())
    engine = engine_of(proofs)
    with pytest.raises(Unprepared) as refused:
        engine.submit_all([work(), missing])
    assert outstanding(engine) == 0
    assert proofs.proved == []
    refused.value.prepare()
    engine.submit_all([work(), missing])
    assert outstanding(engine) == 6
    assert proofs.proved == [Way(missing.implementation or "2", missing.mask is not None)]


def test_what_is_ready_is_taken_at_once() -> None:
    proofs = Proofs(FakeNetwork())
    engine_of(proofs).submit_all([work(), work("2")])
    assert proofs.proved == []


def test_a_way_that_is_found_wrong_is_refused_in_words() -> None:
    engine = engine_of(Proofs(FakeNetwork(), wrong=["1"]))
    with pytest.raises(Unprepared) as refused:
        engine.submit(work("1"))
    refused.value.prepare()
    with pytest.raises(UnsupportedImplementation, match="its numbers are wrong"):
        engine.submit(work("1"))


def test_who_names_none_gets_another_when_the_usual_one_is_found_wrong() -> None:
    proofs = Proofs(FakeNetwork(), wrong=["2"])
    engine = engine_of(proofs)
    proofs.network.default_implementation = "1"
    with pytest.raises(Unprepared) as masked:
        engine.submit(work(masked=True))
    masked.value.prepare()
    with pytest.raises(Unprepared) as refused:
        engine.submit(work())
    refused.value.prepare()
    engine.submit(work())
    assert proofs.proved == [Way("2", True), Way("1", False)]


def test_what_is_chosen_is_prepared_before_it_is() -> None:
    proofs = Proofs(FakeNetwork())
    engine = engine_of(proofs)
    engine.choose(KEY, {"bulk_few": "1", "bulk_many": "2", "steps_few": "1", "steps_many": "1"})
    assert proofs.proved == [Way("1", False)]
    engine.submit(work())


def test_those_who_ask_at_the_same_time_have_it_proved_once() -> None:
    proofs, together = Proofs(FakeNetwork()), Barrier(4)
    preparation = Preparation(proofs, [READY])

    def ask() -> None:
        together.wait()
        preparation.prepare(Way("1", True))

    threads = [Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert proofs.proved == [Way("1", True)]
    assert preparation.is_ready("1", masked=False)


def test_a_proof_that_fails_otherwise_is_tried_again() -> None:
    asked: list[Way] = []

    def prove(way: Way) -> tuple[Way, ...]:
        asked.append(way)
        if len(asked) == 1:
            raise MemoryError("no memory for a library")
        return ()

    preparation = Preparation(prove, [])
    with pytest.raises(MemoryError):
        preparation.prepare(READY)
    assert not preparation.is_ready(*READY)
    preparation.prepare(READY)
    assert preparation.is_ready(*READY)
