"""Random operations on live sequences over several replicas and one store, and a model of what must hold after each.

Replicas die and stop and start, aliases move, feeds race on several replicas at once and are sent again elsewhere, the store
restarts with all it had or with less. Each value that is fed is unlike any other, so that a state which took one step too many,
or another's, gives another sum. Knows no test: how many operations, from which seeds and in which world is the caller's.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from cellserve.service import errors
from cellserve.service.registry.status import VersionState, VersionStatus
from cellserve.service.sessions.feed import Feed, FeedReply
from cellserve.service.sessions.settings import SessionSettings
from tests.fakes import FakeClock
from tests.service.sessions.driving import IDS, Life, told
from tests.service.sessions.fakes import FakeVersions, feed
from tests.service.sessions.oracles import World
from tests.service.sessions.stores.memory import GRACE_SECONDS, MemoryStore
from tests.service.sessions.stores.replicas import Replica

REPLICAS = 3
IDLE_SECONDS = 120.05  # no sum of waits comes near a limit
GONE = (errors.SequenceExpired, errors.SequenceEvicted, errors.SequenceLost, errors.SequenceUnknown, errors.VersionRetired)


@dataclass
class Drive:
    store: MemoryStore
    replicas: list[Replica]
    world: World
    random: random.Random
    lives: dict[str, Life] = field(default_factory=dict)
    written: dict[str, float] = field(default_factory=dict)  # when, on the clock
    earlier: dict[object, object] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def replica(self) -> Replica:
        return self.random.choice(self.replicas)

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
        name, inputs, replica = self.random.choice(IDS), self.inputs(), self.replica
        restart = self.random.random() < 0.5
        asked = feed(inputs, start=True, restart=restart, request_id=f"r{next(self.numbers)}")
        try:
            reply = await replica.sessions.feed("m", name, asked)
        except errors.SequenceExists:
            assert name in self.lives
            assert not restart
            self.counts["exists"] += 1
            return
        life = Life(replica.versions.stable["m"], (inputs,), reply.epoch)
        self.check(reply, life)
        self.live(name, life)
        await self.again(name, asked, life, end=False)

    async def go_on(self) -> None:
        name, inputs = self.random.choice(IDS), self.inputs()
        life = self.lives.get(name)
        end = self.random.random() < 0.1
        position = None if life is None or self.random.random() < 0.5 else life.position
        epoch = None if life is None or self.random.random() < 0.5 else life.epoch
        by_id = f"r{next(self.numbers)}" if self.random.random() < 0.5 else None
        asked = feed(inputs, end=end, position=position, epoch=epoch, request_id=by_id)
        try:
            reply = await self.replica.sessions.feed("m", name, asked)
        except errors.ServiceError as error:
            self.explained(name, error)
            return
        assert life is not None
        life = replace(life.fed(inputs), epoch=reply.epoch)
        self.check(reply, life)
        self.keep(name, life, end)
        if position is not None or by_id is not None:
            await self.again(name, asked, life, end)

    async def again(self, name: str, asked: Feed, life: Life, end: bool) -> None:
        """The reply was lost on the way, perhaps with its replica, and a proxy sends the request elsewhere."""
        if self.random.random() < 0.5:
            if self.random.random() < 0.1:
                await self.die()
            reply = await self.replica.sessions.feed("m", name, asked)
            assert reply.repeated
            self.check(reply, life)
            self.counts["repeated"] += 1

    async def race(self) -> None:
        """Several feeds of one id at once, on several replicas, some of them given up: each is applied once or not at all."""
        name = self.random.choice(IDS)
        life = self.lives.get(name)
        if life is None:
            return
        fed = [self.inputs() for _ in range(4)]
        tasks = [asyncio.create_task(self.replica.sessions.feed("m", name, feed(inputs))) for inputs in fed]
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        done = [(reply, inputs) for reply, inputs in zip(outcomes, fed) if isinstance(reply, FeedReply)]
        for reply, inputs in sorted(done, key=lambda each: each[0].position):
            life = replace(life.fed(inputs), epoch=reply.epoch)
            self.check(reply, life)
            self.live(name, life)
        self.counts["raced"] += len(done) > 1
        for outcome in outcomes:
            if isinstance(outcome, errors.ServiceError):
                self.explained(name, outcome)
            else:
                assert isinstance(outcome, FeedReply), outcome

    async def both_for_one_position(self) -> None:
        """Of two that mean the same place one is applied, and the other is told."""
        name = self.random.choice(IDS)
        life = self.lives.get(name)
        if life is None:
            return
        fed = [self.inputs(), self.inputs()]
        asked = [feed(inputs, position=life.position, epoch=life.epoch) for inputs in fed]
        outcomes = await asyncio.gather(*(self.replica.sessions.feed("m", name, each) for each in asked), return_exceptions=True)
        applied = [(reply, inputs) for reply, inputs in zip(outcomes, fed) if isinstance(reply, FeedReply)]
        assert len(applied) <= 1
        for reply, inputs in applied:
            life = replace(life.fed(inputs), epoch=reply.epoch)
            self.check(reply, life)
            self.live(name, life)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                self.explained(name, outcome)

    async def given_up(self) -> None:
        """A client goes in the middle, and asks where the sequence stands."""
        name = self.random.choice(IDS)
        life = self.lives.get(name)
        if life is None:
            return
        inputs = self.inputs()
        task = asyncio.create_task(self.replica.sessions.feed("m", name, feed(inputs)))
        for _ in range(self.random.randrange(8)):
            await asyncio.sleep(0)
        task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        self.counts["given up"] += isinstance(outcome, asyncio.CancelledError)
        for _ in range(10):
            await asyncio.sleep(0)  # what is on its way arrives
        try:
            info = await self.replica.sessions.inspect("m", name)
        except errors.ServiceError as error:
            self.explained(name, error)
            return
        assert info.position in (life.position, life.position + len(inputs))
        if info.position != life.position:
            life = life.fed(inputs)
        self.lives[name] = replace(life, epoch=info.epoch)

    async def lost_reply(self) -> None:
        """The store has written, and its answer does not come."""
        name, inputs = self.random.choice(IDS), self.inputs()
        life = self.lives.get(name)
        if life is None:
            return
        self.store.dropping = 1
        asked = feed(inputs, request_id=f"r{next(self.numbers)}", epoch=life.epoch, position=life.position)
        for _ in range(2):
            try:
                reply = await self.replica.sessions.feed("m", name, asked)
            except errors.StoreUnavailable:
                self.store.dropping = 0
                self.counts["lost reply"] += 1
            except errors.ServiceError as error:
                self.explained(name, error)
                break
            else:
                life = replace(life.fed(inputs), epoch=reply.epoch)
                self.check(reply, life)
                self.live(name, life)
                break
        self.store.dropping = 0

    async def close(self) -> None:
        name = self.random.choice(IDS)
        try:
            await self.replica.sessions.close("m", name)
        except errors.ServiceError as error:
            self.explained(name, error)
        else:
            assert name in self.lives
        self.lives.pop(name, None)

    async def fork(self) -> None:
        name, other = self.random.sample(IDS, 2)
        try:
            info = await self.replica.sessions.fork("m", name, other)
        except errors.SequenceExists:
            assert other in self.lives
        except errors.ServiceError as error:
            self.explained(name, error)
        else:
            assert info.position == self.lives[name].position
            self.live(other, replace(self.lives[name], epoch=info.epoch))

    async def snapshot(self) -> None:
        name, other = self.random.sample(IDS, 2)
        try:
            content = await self.replica.sessions.snapshot("m", name)
        except errors.ServiceError as error:
            self.explained(name, error)
            return
        info = await self.replica.sessions.restore("m", content, other, restart=True)
        assert info.position == self.lives[name].position
        self.live(other, replace(self.lives[name], version=info.version, epoch=info.epoch))

    async def promote(self) -> None:
        """Another version answers from now on, on every replica at about the same time."""
        stable = self.random.choice(self.world.versions)
        for replica in self.replicas:
            before = replica.versions.stable["m"]
            replica.versions.stable["m"] = stable
            if before != stable:
                replica.sessions.on_version(VersionStatus("m", before, VersionState.UNLOADING))
                replica.sessions.on_version(VersionStatus("m", stable, VersionState.READY))

    async def wait(self) -> None:
        self.store.clock.advance(self.random.choice((0.1, 1, 10, 100)))

    async def die(self) -> None:
        """And another process takes its place."""
        replica = self.replica
        timer = replica.sessions._timer
        if timer is not None:
            timer.cancel()  # nobody's, once the process is gone
        replica.versions.leases = dict.fromkeys(replica.versions.leases, 0)
        replica.again()
        self.counts["died"] += 1

    async def stop(self) -> None:
        replica = self.replica
        await replica.sessions.stop()
        assert not any(replica.versions.leases.values())
        await replica.again().start()

    async def remember_the_store(self) -> None:
        self.earlier = dict(self.store.records)

    async def restart_the_store(self) -> None:
        """With all it had, or with what it had earlier; nobody goes on before being told where."""
        loses = self.random.random() < 0.5
        self.store.restart(back_to=self.earlier if loses else None)  # type: ignore[arg-type]
        for name, life in list(self.lives.items()):
            try:
                await self.replica.sessions.feed("m", name, feed(None, epoch=life.epoch))
            except errors.SequencePosition as position:
                self.live(name, self.fallen_back(life, int(position.metadata["position"]), position.metadata["epoch"]))
            except GONE as error:
                if not (loses or self.forgotten(name)) and isinstance(error, errors.SequenceUnknown | errors.SequenceLost):
                    raise
                del self.lives[name]
            else:
                raise AssertionError("nobody may go on without being told where")
        for info in await self.replica.sessions.inventory():
            if info.session_id not in self.lives:
                with pytest.raises((errors.SequencePosition, *GONE)):
                    await self.replica.sessions.feed("m", info.session_id, feed(self.inputs()))
                try:
                    await self.replica.sessions.close("m", info.session_id)
                except errors.ServiceError as error:
                    if not isinstance(error, GONE):
                        raise
                self.counts["came back"] += 1

    def fallen_back(self, life: Life, position: int, epoch: str) -> Life:
        """Whole feeds of the very same life."""
        sums = list(itertools.accumulate((len(inputs) for inputs in life.feeds), initial=0))
        assert position in sums
        self.counts["fell back"] += position != life.position
        return replace(life, feeds=life.feeds[: sums.index(position)], epoch=epoch)

    # --- the model ---

    def live(self, name: str, life: Life) -> None:
        """It was written at this moment."""
        self.lives[name] = life
        self.written[name] = self.store.clock()

    def forgotten(self, name: str) -> bool:
        """It ended (expired, or made place for another) so long ago, perhaps, that the store does not know it any more."""
        return self.store.clock() - self.written.get(name, 0.0) > GRACE_SECONDS

    def explained(self, name: str, error: BaseException) -> None:
        """The sequence is gone, for a reason that can be; or it stays, for one that passes."""
        if isinstance(error, errors.SequencePosition):
            self.counts["told"] += 1
            return
        assert isinstance(error, GONE), error
        if isinstance(error, errors.SequenceUnknown | errors.SequenceLost):
            assert name not in self.lives or self.forgotten(name)
        self.counts[error.reason] += 1
        self.lives.pop(name, None)

    def keep(self, name: str, life: Life, end: bool) -> None:
        if end:
            self.lives.pop(name, None)
        else:
            self.live(name, life)

    async def require_conserved(self) -> None:
        """What the store lists is what the model knows; copies here are as many as their rows and leases."""
        for info in await self.replica.sessions.inventory():
            assert info.position == self.lives[info.session_id].position
        for replica in self.replicas:
            here = replica.sessions.list()
            pins = list(replica.sessions._live.pins)
            assert sum(pin.slab.used for pin in pins) == len(here)
            assert {key for key, leases in replica.versions.leases.items() if leases} == {pin.key for pin in pins}


OPERATIONS = {
    "start": 30,
    "go_on": 60,
    "race": 10,
    "both_for_one_position": 5,
    "given_up": 5,
    "lost_reply": 4,
    "close": 3,
    "fork": 4,
    "snapshot": 4,
    "promote": 3,
    "wait": 6,
    "die": 4,
    "stop": 1,
    "remember_the_store": 2,
    "restart_the_store": 1,
}
MET = {"repeated", "raced", "given up", "lost reply", "died", "fell back", "came back", "loaded", "conflict", "told", "exists"}


async def drive(world: World, seed: int, operations: int) -> Counter[str]:
    """What was met, by name. A failure tells its seed and at which operation."""
    clock = FakeClock()
    store = MemoryStore(clock, most=9)
    settings = SessionSettings(
        shared=True, idle_seconds=IDLE_SECONDS, max_age_seconds=2000.05, max_sessions=9, drain_seconds=60.05
    )
    made = [Replica(store, clock, FakeVersions(*world.loaded()), settings) for _ in range(REPLICAS)]
    for replica in made:
        replica.engine = world.engine
        await replica.again().start()
        replica.versions.stable["m"] = world.versions[0]
    driven = Drive(store, made, world, random.Random(seed))
    names = driven.random.choices(list(OPERATIONS), list(OPERATIONS.values()), k=operations)
    try:
        for number, name in enumerate(names):
            with told(f"seed {seed}, operation {number} of {operations}: {name}"):
                await getattr(driven, name)()
                await driven.require_conserved()
    finally:
        for replica in made:
            await replica.sessions.stop()
    return +(driven.counts + Counter(event for replica in made for event in replica.observer.events))
