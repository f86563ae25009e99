"""Random operations on live sequences, and a model of what must hold after each of them.

Each value that is fed is unlike any other, so that a state which took one step too many, one too few, or another's, gives
another sum. Knows no test: how many operations, from which seeds and in which world is the caller's.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from cellserve.service import errors
from cellserve.service.durable_every import DurableEvery
from cellserve.service.registry.status import VersionState, VersionStatus
from cellserve.service.sessions.feed import Feed, FeedReply
from cellserve.service.sessions.settings import SessionSettings
from tests.service.sessions.fakes import FakeObserver, Stage, feed
from tests.service.sessions.oracles import World

IDS = [f"id-{number}" for number in range(12)]
GONE = (errors.SequenceExpired, errors.SequenceEvicted, errors.SequenceLost, errors.SequenceUnknown, errors.VersionRetired)


@dataclass(frozen=True)
class Life:
    """What one sequence must be: the version it began on, and every feed that was accepted."""

    version: int
    feeds: tuple[np.ndarray, ...] = ()
    epoch: str = ""

    @property
    def position(self) -> int:
        return sum(len(inputs) for inputs in self.feeds)

    def fed(self, inputs: np.ndarray) -> Life:
        return replace(self, feeds=(*self.feeds, inputs))


@dataclass
class Drive:
    """One server after the other over one folder, and the model of them."""

    stage: Stage
    world: World
    random: random.Random
    lives: dict[str, Life] = field(default_factory=dict)
    snapshots: list[tuple[bytes, Life]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def inputs(self) -> np.ndarray:
        return self.world.inputs(self.random, self.random.choice((1, 1, 1, 2, 5)))

    def check(self, reply: FeedReply, life: Life) -> None:
        """`life` has the feed in it."""
        assert reply.position == life.position
        assert reply.version.key.version == life.version
        assert reply.delivery is not None
        self.world.compare(reply.delivery.outputs[0], life.version, life.feeds)

    # --- operations ---

    async def start(self) -> None:
        name, inputs = self.random.choice(IDS), self.inputs()
        asked = {"restart": self.random.random() < 0.5, "position": self.random.choice((None, 0))}
        try:
            reply = await self.stage.sessions.feed("m", name, feed(inputs, start=True, **asked))
        except errors.SequenceExists:
            assert name in self.lives
            assert not asked["restart"]
            self.counts["exists"] += 1
            return
        life = Life(self.stage.versions.stable["m"], (inputs,), reply.epoch)
        self.check(reply, life)
        self.lives[name] = life

    async def go_on(self) -> None:
        name, inputs = self.random.choice(IDS), self.inputs()
        life = self.lives.get(name)
        end = self.random.random() < 0.1
        position = None if life is None or self.random.random() < 0.5 else life.position
        epoch = None if life is None or self.random.random() < 0.5 else life.epoch
        asked = feed(inputs, end=end, position=position, epoch=epoch)
        reply = await self.fed(name, asked)
        if reply is None:
            return
        assert life is not None
        self.check(reply, life.fed(inputs))
        self.keep(name, life.fed(inputs), reply, end)
        if position is not None and self.random.random() < 0.5:
            await self.repeat(name, asked, life.fed(inputs), reply, end)

    async def repeat(self, name: str, asked: Feed, life: Life, first: FeedReply, end: bool) -> None:
        """The same again changes nothing; with other numbers it is refused."""
        again = await self.stage.sessions.feed("m", name, asked)
        assert again.repeated
        self.check(again, life)
        self.counts["repeated"] += 1
        if not end:
            with pytest.raises(errors.SequencePosition) as refused:
                await self.stage.sessions.feed("m", name, feed(self.inputs(), position=asked.position, epoch=first.epoch))
            assert refused.value.metadata["position"] == str(life.position)

    async def race(self) -> None:
        """Several feeds of one id in flight, some of them cancelled: those that were answered were applied, in order."""
        name = self.random.choice(IDS)
        life = self.lives.get(name)
        if life is None:
            return
        fed = [self.inputs() for _ in range(4)]
        tasks = [asyncio.create_task(self.stage.sessions.feed("m", name, feed(inputs))) for inputs in fed]
        for _ in range(self.random.randrange(6)):
            await asyncio.sleep(0)
        for task in tasks:
            if self.random.random() < 0.4:
                task.cancel()
        for inputs, outcome in zip(fed, await asyncio.gather(*tasks, return_exceptions=True)):
            if isinstance(outcome, FeedReply):
                life = life.fed(inputs)
                self.check(outcome, life)
                self.keep(name, life, outcome, end=False)
            elif isinstance(outcome, asyncio.CancelledError):
                self.counts["cancelled"] += 1
            elif not self.explained(name, outcome):
                return

    async def disconnect(self) -> None:
        """A client goes with feeds of several ids in flight, and sends them all again: each is applied once."""
        lives = [name for name in IDS if name in self.lives and self.random.random() < 0.5]
        asked = {name: self.asked_exactly(name) for name in lives}
        tasks = [asyncio.create_task(self.stage.sessions.feed("m", name, ask)) for name, (ask, _) in asked.items()]
        for _ in range(self.random.randrange(8)):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        if self.random.random() < 0.3:
            await self.promote()
        for (name, (ask, life)), outcome in zip(asked.items(), outcomes):
            answered = isinstance(outcome, FeedReply)
            self.counts["disconnected"] += not answered
            reply = await self.fed(name, ask)
            if reply is None:
                continue
            assert reply.repeated or not answered
            self.check(reply, life)
            self.keep(name, life, reply, ask.end)

    async def together(self) -> None:
        """All ids at once: more states than memory holds, so that some are parked while others come back."""
        fed = {name: self.inputs() for name in self.lives}
        outcomes = await asyncio.gather(
            *(self.stage.sessions.feed("m", name, feed(inputs)) for name, inputs in fed.items()), return_exceptions=True
        )
        for (name, inputs), outcome in zip(fed.items(), outcomes):
            if isinstance(outcome, FeedReply):
                life = self.lives[name].fed(inputs)
                self.check(outcome, life)
                self.keep(name, life, outcome, end=False)
            elif isinstance(outcome, errors.Overloaded):
                self.counts["overloaded"] += 1  # all that fit were active
            else:
                self.explained(name, outcome)

    async def fail(self) -> None:
        name = self.random.choice(IDS)
        self.stage.engine.failures = [errors.InternalFailure("the engine's own")]
        try:
            await self.stage.sessions.feed("m", name, feed(self.inputs(), start=name not in self.lives))
        except errors.InternalFailure:
            self.counts["failed"] += 1
        except errors.ServiceError as error:
            self.explained(name, error)
        self.stage.engine.failures = []

    async def close(self) -> None:
        name = self.random.choice(IDS)
        try:
            await self.stage.sessions.close("m", name)
        except errors.ServiceError as error:
            self.explained(name, error)
        else:
            assert name in self.lives
        self.lives.pop(name, None)

    async def snapshot(self) -> None:
        name = self.random.choice(IDS)
        try:
            content = await self.stage.sessions.snapshot("m", name)
        except errors.ServiceError as error:
            self.explained(name, error)
        else:
            self.snapshots = [*self.snapshots[-5:], (content, self.lives[name])]

    async def restore(self) -> None:
        if not self.snapshots:
            return
        name, (content, life) = self.random.choice(IDS), self.random.choice(self.snapshots)
        info = await self.stage.sessions.restore("m", content, name, restart=True)
        assert (info.position, info.version) == (life.position, life.version)
        self.lives[name] = replace(life, epoch=info.epoch)

    async def fork(self) -> None:
        name, other = self.random.sample(IDS, 2)
        try:
            info = await self.stage.sessions.fork("m", name, other)
        except errors.SequenceExists:
            assert other in self.lives
        except errors.ServiceError as error:
            self.explained(name, error)
        else:
            assert info.position == self.lives[name].position
            self.lives[other] = replace(self.lives[name], epoch=info.epoch)

    async def promote(self) -> None:
        """Another version answers from now on; the one before has its drain time."""
        before = self.stage.versions.stable["m"]
        self.stage.versions.stable["m"] = self.random.choice(self.world.versions)
        if self.stage.versions.stable["m"] != before and self.random.random() < 0.8:
            (key,) = (key for key in self.stage.versions.loaded if key.version == before)
            self.stage.sessions.on_version(VersionStatus("m", key.version, VersionState.UNLOADING))

    async def wait(self) -> None:
        self.stage.clock.advance(self.random.choice((0.1, 1, 10, 100)))

    async def restart(self) -> None:
        """Everybody comes back. Why others had ended is forgotten."""
        live = {info.session_id for info in self.stage.sessions.list()}
        self.lives = {name: life for name, life in self.lives.items() if name in live}
        await self.stage.sessions.stop()
        assert not any(self.stage.versions.leases.values())
        await self.stage.again().start()
        back = {info.session_id for info in self.stage.sessions.list()}
        assert back == live, (back, live)
        await self.repeat_the_last()

    async def repeat_the_last(self) -> None:
        """A client that has not heard the answer to its last feed: the server knows that it has applied it."""
        name = self.random.choice(IDS)
        life = self.lives.get(name)
        if life is None or not life.feeds:
            return
        last = life.feeds[-1]
        with pytest.raises(errors.SequencePosition) as refused:
            await self.stage.sessions.feed("m", name, feed(last, position=life.position - len(last), epoch=life.epoch))
        told = refused.value.metadata
        assert told["position"] == str(life.position)
        self.lives[name] = replace(life, epoch=told["epoch"])
        self.counts["known as applied"] += 1

    async def crash(self) -> None:
        """What is on disk is an earlier moment of each sequence, or nothing; its clients learn which."""
        durability, timer = self.stage.sessions._durability, self.stage.sessions._timer
        if timer is not None:
            timer.cancel()  # nobody's, once the process is gone
        if durability._writing is not None:
            await durability._writing
        assert durability._store is not None
        durability._store.close()
        self.stage.sessions._capacity.close()
        self.stage.versions.leases = dict.fromkeys(self.stage.versions.leases, 0)
        await self.stage.again().start()
        for name, life in list(self.lives.items()):
            try:
                await self.stage.sessions.feed("m", name, feed(None, epoch=life.epoch))
            except errors.SequencePosition as told:
                self.lives[name] = self.fallen_back(life, int(told.metadata["position"]), told.metadata["epoch"])
            except GONE:
                del self.lives[name]
            else:
                raise AssertionError("after a crash nobody may go on without being told where")

        for info in self.stage.sessions.list():
            if info.session_id not in self.lives:  # its end was not written before the crash; nobody goes on with it
                with pytest.raises(errors.SequencePosition):
                    await self.stage.sessions.feed("m", info.session_id, feed(self.inputs(), position=info.position))
                await self.stage.sessions.close("m", info.session_id)
                self.counts["came back"] += 1

    def fallen_back(self, life: Life, position: int, epoch: str) -> Life:
        """Whole feeds of the very same life: a server commits nothing less."""
        sums = list(itertools.accumulate((len(inputs) for inputs in life.feeds), initial=0))
        assert position in sums
        self.counts["fell back"] += position != life.position
        return replace(life, feeds=life.feeds[: sums.index(position)], epoch=epoch)

    # --- the model ---

    def asked_exactly(self, name: str) -> tuple[Feed, Life]:
        """A feed that says all it knows, and what its sequence must be afterwards."""
        inputs, life = self.inputs(), self.lives[name]
        end = self.random.random() < 0.1
        return feed(inputs, end=end, position=life.position, epoch=life.epoch), life.fed(inputs)

    async def fed(self, name: str, asked: Feed) -> FeedReply | None:
        try:
            return await self.stage.sessions.feed("m", name, asked)
        except errors.SequencePosition as error:  # after a crash, for a feed that said too little
            told = error.metadata
        except errors.ServiceError as error:
            self.explained(name, error)
            return None
        assert told["position"] == str(self.lives[name].position)
        self.lives[name] = replace(self.lives[name], epoch=told["epoch"])
        return None

    def explained(self, name: str, error: BaseException) -> bool:
        """The sequence is gone, for a reason that can be; or it stays, for one that passes."""
        if isinstance(error, errors.SequencePosition):
            return True
        assert isinstance(error, GONE), error
        if isinstance(error, errors.SequenceUnknown):
            assert name not in self.lives
        self.counts[error.reason] += 1
        self.lives.pop(name, None)
        return False

    def keep(self, name: str, life: Life, reply: FeedReply, end: bool) -> None:
        if end:
            self.lives.pop(name, None)
        else:
            self.lives[name] = replace(life, epoch=reply.epoch)

    def require_conserved(self) -> None:
        """Nothing is live that the model does not know; rows and leases are as many as sequences."""
        live = {info.session_id: info for info in self.stage.sessions.list()}
        for name, info in live.items():
            assert info.position == self.lives[name].position
        pins = list(self.stage.sessions._live.pins)
        assert sum(pin.slab.used for pin in pins) == sum(info.state != "parked" for info in live.values())
        assert {key for key, leases in self.stage.versions.leases.items() if leases} == {pin.key for pin in pins}
        assert max(self.stage.versions.leases.values()) <= 1
        assert self.stage.sessions._live.pins.bytes <= self.stage.settings.memory_bytes


OPERATIONS = {
    "start": 30,
    "go_on": 50,
    "race": 10,
    "disconnect": 8,
    "together": 8,
    "fail": 4,
    "close": 3,
    "snapshot": 5,
    "restore": 4,
    "fork": 5,
    "promote": 4,
    "wait": 6,
    "restart": 1,
    "crash": 1,
}

EVENTS = {"started", "restarted", "ended", "expired", "evicted", "retired", "restored", "parked", "unparked", "lost", "repeated"}
MET = EVENTS | {"cancelled", "disconnected", "failed", "fell back", "came back", "known as applied", "overloaded"}


async def drive(folder: Path, world: World, seed: int, operations: int) -> Counter[str]:
    """What was met, by name. A failure tells its seed and at which operation."""
    stage = Stage(*world.loaded())
    stage.engine = world.engine
    stage.observer = FakeObserver()
    width = stage.versions.loaded[next(iter(stage.versions.loaded))].state_layout.width
    stage.settings = SessionSettings(  # no sum of waits comes near a limit, where the rounding of times would decide
        idle_seconds=120.05,
        max_age_seconds=2000.05,
        max_sessions=9,
        memory_bytes=4 * width * 4,
        drain_seconds=60.05,
        directory=folder / "kept",
        durable_every=DurableEvery(feeds=7),
    )
    await stage.again().start()
    driven = Drive(stage, world, random.Random(seed))
    names = driven.random.choices(list(OPERATIONS), list(OPERATIONS.values()), k=operations)
    try:
        for number, name in enumerate(names):
            with told(f"seed {seed}, operation {number} of {operations}: {name}"):
                await getattr(driven, name)()
                driven.require_conserved()
    finally:
        await stage.sessions.stop()
    return +(driven.counts + Counter(stage.observer.events))


@contextmanager
def told(where: str) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        error.add_note(where)
        raise
