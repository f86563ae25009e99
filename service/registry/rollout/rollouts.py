"""Gradual promotes under way on this server: walks their aliases, watches what comes of it, and goes back by itself.

Lives on the event loop. What is decided is in stepping.py and judging.py; here it is done and written down. Of several servers on
one repository the one that holds a model's lock walks its aliases; when it ends, whichever starts next goes on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol

from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import InvalidInput, ServiceError
from cellserve.service.registry.policy.durations import LONGEST_SECONDS, duration_words
from cellserve.service.registry.policy.rollout import Rollout
from cellserve.service.registry.repository.repository import Repository
from cellserve.service.registry.rollout.bounds import DIFFERENCE, Bound, bounds_text, parse_bounds
from cellserve.service.registry.rollout.judging import Evidence, Verdict, judge
from cellserve.service.registry.rollout.seen import Compared, Seen
from cellserve.service.registry.rollout.stepping import Meaning, Step, expected, next_step, resumed, told
from cellserve.service.registry.watch import is_set_within

log = logging.getLogger(__name__)

TICK_SECONDS: Final = 0.5
_FAILED: Final = frozenset({"INTERNAL", "DEADLINE_EXPIRED"})
_REFUSED: Final = frozenset({"INVALID_INPUT", "NOT_CAUSAL", "IMPLEMENTATION_UNSUPPORTED"})
_THIS_SERVER: Final = "the server"


class Aliases(Protocol):
    """The part of the catalog that walks need."""

    def models(self) -> Iterable[str]:
        """Of which anything is published."""

    def meaning(self, model: str, alias: str) -> Meaning:
        """Of an alias, as it was last read."""

    def failure(self, key: VersionKey) -> str:
        """Why a version cannot be served; empty: it can, or is being loaded."""

    async def walk_alias(self, model: str, alias: str, before: Meaning, after: Meaning, version: int, by: str, why: str) -> bool:
        """`version` is loaded, then the alias means `after`, unless it does not mean `before` any more: whether it was done."""


class RequestEnd(Protocol):
    """How one request ended, as the door tells it."""

    @property
    def version(self) -> VersionKey | None: ...

    @property
    def reason(self) -> str | None: ...

    @property
    def seconds(self) -> float: ...


@dataclass(slots=True)
class _Walk:
    """since_seconds: from when it has walked here; before that for rollout.walked_seconds. Evidence of all, and of this share."""

    model: str
    rollout: Rollout
    bounds: tuple[Bound, ...]
    since_seconds: float
    all: Evidence = field(default_factory=lambda: _nothing())
    lately: Evidence = field(default_factory=lambda: _nothing())

    @property
    def new(self) -> VersionKey:
        return VersionKey(self.model, self.rollout.version)

    @property
    def old(self) -> VersionKey:
        return VersionKey(self.model, self.rollout.before)

    def walked_seconds(self, now_seconds: float) -> float:
        return self.rollout.walked_seconds + now_seconds - self.since_seconds

    def verdict(self) -> Verdict:
        """What is broken lately or in all; what is wanting of all."""
        lately = judge(self.bounds, self.lately)
        return lately if lately.broken else judge(self.bounds, self.all)

    def count(self, end: RequestEnd) -> None:
        for evidence in (self.all, self.lately):
            seen = evidence.new if end.version == self.new else evidence.old
            if end.reason is None:
                seen.latencies.add(end.seconds)
            elif end.reason in _FAILED:
                seen.failed += 1
            elif end.reason in _REFUSED:
                seen.refused += 1


class Rollouts:
    """clock: seconds. on_change: called when a walk begins, steps or ends, with its model."""

    def __init__(
        self,
        repository: Repository,
        aliases: Aliases,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[str, Rollout], None] = lambda model, rollout: None,
    ) -> None:
        self._repository = repository
        self._aliases = aliases
        self._clock = clock
        self._on_change = on_change
        self._walks: dict[tuple[str, str], _Walk] = {}
        self._by_version: dict[VersionKey, list[_Walk]] = {}
        self._locks: dict[str, ExitStack] = {}  # by model, held while one of its aliases walks
        self._changing = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._ticker: asyncio.Task[None] | None = None
        self._beginning: set[asyncio.Task[Rollout]] = set()

    # --- life ---

    async def start(self) -> None:
        """Goes on with what walked when a server ended; then looks after all walks every half second."""
        for model in list(self._aliases.models()):
            for rollout in (await asyncio.to_thread(self._repository.rollouts, model)).values():
                if rollout.walking:
                    await self._resume(model, rollout)
        self._ticker = asyncio.create_task(self._tick_for_ever())

    async def stop(self) -> None:
        """Walks stay where they are, and are written down for the next start."""
        self._stopping.set()
        if self._ticker is not None:
            await self._ticker
        async with self._changing:
            for walk in list(self._walks.values()):
                walked = walk.walked_seconds(self._clock())
                log.info("%s stays as it is until a server starts: %s", _name(walk), walk.rollout.words)
                await self._write(walk.model, walk.rollout.model_copy(update={"walked_seconds": walked}))
                self._drop(walk)

    # --- who asks ---

    async def begin(self, model: str, alias: str, version: int, seconds: float, stop_if: str, by: str) -> Rollout:
        """Walks the alias to a version, which is loaded first and has the first share when this returns. by: who asks.

        Once it is asked for it begins, also if whoever asked leaves. Raises InvalidInput (also: no alias to walk from, one that
        is split), and what the moving of aliases raises.
        """
        beginning = asyncio.create_task(self._begin(model, alias, version, seconds, stop_if, by))
        self._beginning.add(beginning)
        beginning.add_done_callback(self._beginning.discard)
        return await asyncio.shield(beginning)

    async def of(self, model: str) -> list[Rollout]:
        """Those that walk, as they are now, and of each other alias the last one."""
        known = dict(await asyncio.to_thread(self._repository.rollouts, model))
        for (walking, alias), walk in self._walks.items():
            if walking == model:
                known[alias] = self._shown(walk)
        return [known[alias] for alias in sorted(known)]

    def progress(self) -> list[tuple[str, str, float]]:
        """Model and alias of each that walks, and how much of its time has gone: at 1 it waits for evidence. Any thread."""
        now = self._clock()
        return [
            (walk.model, walk.rollout.alias, min(1.0, walk.walked_seconds(now) / walk.rollout.seconds))
            for walk in list(self._walks.values())
        ]

    # --- what is seen ---

    def on_request(self, end: RequestEnd) -> None:
        """A request has ended. What is no version's fault, such as an overload, does not count."""
        if self._by_version and end.version is not None:
            for walk in self._by_version.get(end.version, ()):
                walk.count(end)

    def compares(self, key: VersionKey) -> VersionKey | None:
        """The version whose answers are to be held against those of `key`."""
        for walk in self._by_version.get(key, ()):
            if any(bound.quantity == DIFFERENCE for bound in walk.bounds):
                return walk.old if key == walk.new else walk.new
        return None

    def on_compared(self, one: VersionKey, other: VersionKey, difference: float) -> None:
        """Both versions have answered a request; their answers differ by so much."""
        for walk in self._by_version.get(one, ()):
            if {walk.new, walk.old} == {one, other}:
                for evidence in (walk.all, walk.lately):
                    evidence.compared.add(difference)

    # --- walking ---

    async def tick(self) -> None:
        """What is due of every walk. What cannot be done, such as on a full disk, is tried again at the next one."""
        async with self._changing:
            for walk in list(self._walks.values()):
                try:
                    await self._advance(walk)
                except ServiceError as error:
                    log.error("%s cannot go on, and will try again: %s", _name(walk), error)

    async def _tick_for_ever(self) -> None:
        while not await is_set_within(self._stopping, TICK_SECONDS):
            try:
                await self.tick()
            except Exception:
                log.exception("gradual promotes could not be looked after")

    async def _begin(self, model: str, alias: str, version: int, seconds: float, stop_if: str, by: str) -> Rollout:
        try:
            bounds = parse_bounds(stop_if)
        except ValueError as error:
            raise InvalidInput(str(error), field="stop_if") from error
        if not 0 < seconds <= LONGEST_SECONDS:
            raise InvalidInput(f"a gradual promote takes some time, not {seconds:g} seconds", field="gradually_seconds")
        async with self._changing:
            before = self._start_of(model, alias, version)
            rollout = Rollout(alias=alias, version=version, before=before, seconds=seconds, stop_if=bounds_text(bounds), by=by)
            if not await self._lock(model):
                raise InvalidInput(f"another server walks an alias of {model}; ask that one", field="model")
            walk = self._add(model, rollout, bounds)
            try:
                await self._write(model, rollout)
                await self._take(walk, next_step(rollout, 0.0, {before: 1.0}, Verdict()))
            except ServiceError as error:
                self._drop(walk)
                await self._write(model, rollout.model_copy(update={"state": "ended", "reason": f"it could not begin: {error}"}))
                raise
            return walk.rollout

    async def _advance(self, walk: _Walk) -> None:
        failure = self._aliases.failure(walk.new)
        verdict = Verdict(broken=f"it cannot be served: {failure}") if failure else walk.verdict()
        meaning = self._aliases.meaning(walk.model, walk.rollout.alias)
        step = next_step(walk.rollout, walk.walked_seconds(self._clock()), meaning, verdict)
        if step.state != "walking" or step.meaning is not None:
            await self._take(walk, step)
        elif step.reason != walk.rollout.reason:
            walk.rollout = walk.rollout.model_copy(update={"reason": step.reason})
            log.info("%s %s", _name(walk), step.reason or "goes on")

    async def _take(self, walk: _Walk, step: Step) -> None:
        """The alias first, then the record of it: by both, a start knows where it stands."""
        rollout, now = walk.rollout, self._clock()
        if step.meaning is not None:
            back = step.state == "rolled_back"
            walked = duration_words(round(walk.walked_seconds(now)))
            why = f"rolled back: {step.reason}" if back else f"gradually, {walked} of {duration_words(rollout.seconds)}"
            done = await self._aliases.walk_alias(
                walk.model,
                rollout.alias,
                expected(rollout),
                step.meaning,
                rollout.before if back else rollout.version,
                _THIS_SERVER if back else rollout.by,
                why,
            )
            if not done:
                moved = told(self._aliases.meaning(walk.model, rollout.alias))
                step = Step("ended", rollout.share, f"the alias was moved meanwhile: {moved}")
        known = {
            "state": step.state,
            "share": step.share,
            "reason": step.reason,
            "walked_seconds": walk.walked_seconds(now),
            "seen": _words(walk),
            "ended": None if step.state == "walking" else datetime.now(UTC).replace(microsecond=0),
        }
        walk.rollout, walk.since_seconds, walk.lately = rollout.model_copy(update=known), now, _nothing()
        log.log(logging.ERROR if step.state == "rolled_back" else logging.INFO, "%s %s", _name(walk), walk.rollout.words)
        if not walk.rollout.walking:
            self._drop(walk)
        self._on_change(walk.model, walk.rollout)
        await self._write(walk.model, walk.rollout)

    async def _resume(self, model: str, rollout: Rollout) -> None:
        if not await self._lock(model):
            log.info("%s@%s is walked by another server", model, rollout.alias)
            return
        step = resumed(rollout, self._aliases.meaning(model, rollout.alias))
        walk = self._add(
            model, rollout.model_copy(update={"share": step.share, "reason": step.reason}), parse_bounds(rollout.stop_if)
        )
        if step.state == "walking":
            log.info("%s goes on where a server ended: %s", _name(walk), walk.rollout.words)
            self._on_change(model, walk.rollout)
        else:
            await self._take(walk, step)

    def _start_of(self, model: str, alias: str, version: int) -> int:
        """The version that the alias means, alone."""
        if (model, alias) in self._walks:
            words = self._walks[model, alias].rollout.words
            raise InvalidInput(f"{model}@{alias} walks already, {words}; promote a version to it to end that", field="alias")
        meaning = self._aliases.meaning(model, alias)
        if not meaning:
            raise InvalidInput(f"{model} has no alias {alias!r} to walk; promote a version to it first", field="alias")
        if len(meaning) > 1:
            raise InvalidInput(f"{model}@{alias} is split, {told(meaning)}; promote a version to it first", field="alias")
        (before,) = meaning
        if before == version:
            raise InvalidInput(f"{model}@{alias} means version {version} already", field="version")
        return before

    def _shown(self, walk: _Walk) -> Rollout:
        return walk.rollout.model_copy(update={"walked_seconds": walk.walked_seconds(self._clock()), "seen": _words(walk)})

    def _add(self, model: str, rollout: Rollout, bounds: tuple[Bound, ...]) -> _Walk:
        walk = self._walks[model, rollout.alias] = _Walk(model, rollout, bounds, self._clock())
        self._index()
        return walk

    def _drop(self, walk: _Walk) -> None:
        self._walks.pop((walk.model, walk.rollout.alias), None)
        self._index()
        if not any(model == walk.model for model, _ in self._walks) and walk.model in self._locks:
            self._locks.pop(walk.model).close()

    def _index(self) -> None:
        self._by_version = {}
        for walk in self._walks.values():
            for key in (walk.new, walk.old):
                self._by_version.setdefault(key, []).append(walk)

    async def _lock(self, model: str) -> bool:
        if model not in self._locks:
            held = ExitStack()
            if not held.enter_context(await asyncio.to_thread(self._repository.walker, model)):
                held.close()
                return False
            self._locks[model] = held
        return True

    async def _write(self, model: str, rollout: Rollout) -> None:
        await asyncio.to_thread(self._repository.write_rollout, model, rollout)


def _nothing() -> Evidence:
    return Evidence(Seen(), Seen(), Compared())


def _name(walk: _Walk) -> str:
    return f"{walk.model}@{walk.rollout.alias} walks"


def _words(walk: _Walk) -> str:
    new, old, compared = walk.all
    parts = [f"{_seen_words(new)} of {walk.rollout.version}", f"{_seen_words(old)} of {walk.rollout.before}"]
    if compared.requests:
        parts.append(f"{compared.requests} compared, largest difference {compared.largest:.3g}")
    return "; ".join(parts)


def _seen_words(seen: Seen) -> str:
    told = f"{seen.requests} requests"
    if seen.failed:
        told += f", {seen.failed} failed"
    if seen.latencies.count:
        told += f", p99 {1000 * seen.latencies.percentile(99):.3g} ms"
    return told
