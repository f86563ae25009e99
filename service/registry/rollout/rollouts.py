"""Gradual promotes under way on this server: walks their aliases, watches what comes of it, and goes back by itself.

Lives on the event loop. What is decided is in stepping.py and judging.py, what was seen in under_way.py; here it is done and
written down. Of several servers on one repository the one that has the right to a model walks its aliases; when it ends another
one goes on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final, Protocol

from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import InvalidInput, ServiceError, UnknownModel
from cellserve.service.registry.policy.durations import LONGEST_SECONDS, duration_words
from cellserve.service.registry.policy.rollout import Rollout
from cellserve.service.registry.repository.home import WalkedElsewhere
from cellserve.service.registry.repository.repository import Repository
from cellserve.service.registry.rollout.bounds import Bound, bounds_text, parse_bounds
from cellserve.service.registry.rollout.judging import Verdict
from cellserve.service.registry.rollout.rights import WalkingRights
from cellserve.service.registry.rollout.stepping import Meaning, Step, expected, next_step, resumed, told
from cellserve.service.registry.rollout.under_way import RequestEnd, Walk
from cellserve.service.registry.watch import is_set_within

log = logging.getLogger(__name__)

TICK_SECONDS: Final = 0.5
RECORD_SECONDS: Final = 5.0  # how often it is written how far a walk has got, and looked for walks that nobody walks
_LONGEST_NAME: Final = 128
_THIS_SERVER: Final = "the server"


class Aliases(Protocol):
    """The part of the catalog that walks need."""

    def models(self) -> Iterable[str]:
        """Of which anything is published."""

    def split_models(self) -> Iterable[str]:
        """Of which an alias is split."""

    def meaning(self, model: str, alias: str) -> Meaning:
        """Of an alias, as it was last read."""

    async def bring_in(self, key: VersionKey) -> None:
        """Returns when it is loaded."""

    def failure(self, key: VersionKey) -> str:
        """Why a version cannot be served; empty: it can, or is being loaded."""

    async def walk_alias(self, model: str, alias: str, before: Meaning, after: Meaning, version: int, by: str, why: str) -> bool:
        """`version` is loaded, then the alias means `after`, unless it does not mean `before` any more: whether it was done."""


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
        self._walks: dict[tuple[str, str], Walk] = {}
        self._by_version: dict[VersionKey, list[Walk]] = {}
        self._rights = WalkingRights(repository)
        self._left: dict[str, str] = {}  # by name: why it cannot be walked on
        self._searched_seconds = clock()
        self._changing = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._ticker: asyncio.Task[None] | None = None
        self._beginning: set[asyncio.Task[Rollout]] = set()

    # --- life ---

    async def start(self) -> None:
        """Goes on with what walked when a server ended; then looks after all walks every half second."""
        async with self._changing:
            for model in list(self._aliases.models()):
                await self._take_over(model)
        self._ticker = asyncio.create_task(self._tick_for_ever())

    async def stop(self) -> None:
        """Walks stay where they are, and are written down for whoever goes on."""
        self._stopping.set()
        if self._ticker is not None:
            await self._ticker
        async with self._changing:
            for walk in list(self._walks.values()):
                walk.look(self._clock())
                log.info("%s stays as it is until a server goes on: %s", walk.name, walk.rollout.words)
                try:
                    await self._record(walk)
                except ServiceError as error:
                    log.warning("how far %s has walked is lost: %s", walk.name, error)
                self._forget(walk)
                await self._give_back(walk.model)

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
                known[alias] = walk.shown
        return [rollout for _, rollout in sorted(known.items())]

    def progress(self) -> list[tuple[str, str, float]]:
        """Model, alias and which part of its time each walk has walked."""
        return [
            (walk.model, walk.rollout.alias, min(1.0, walk.rollout.walked_seconds / walk.rollout.seconds))
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
            if walk.compares:
                return walk.old if key == walk.new else walk.new
        return None

    def on_compared(self, one: VersionKey, other: VersionKey, difference: float | None) -> None:
        """Both versions have answered a request; their answers differ by so much. None: such answers cannot be compared."""
        for walk in self._by_version.get(one, ()):
            if {walk.new, walk.old} == {one, other}:
                walk.count_compared(difference)

    # --- walking ---

    async def tick(self) -> None:
        """What is due of every walk. What cannot be done, such as on a full disk, is tried again at the next one."""
        async with self._changing:
            for walk in list(self._walks.values()):
                try:
                    await self._advance(walk)
                    walk.trouble = ""
                except WalkedElsewhere as error:
                    log.warning("%s is not walked here any more: %s", walk.name, error)
                    self._forget(walk)
                    await self._give_back(walk.model)
                except ServiceError as error:
                    if walk.trouble != str(error):
                        log.error("%s cannot go on, and will try again: %s", walk.name, error)
                    walk.trouble = str(error)
            if self._clock() - self._searched_seconds >= RECORD_SECONDS:
                self._searched_seconds = self._clock()
                for model in [model for model in self._aliases.split_models() if not self._rights.holds(model)]:
                    await self._take_over(model)

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
        self._start_of(model, alias, version)
        await self._aliases.bring_in(VersionKey(model, version))  # before the lock: others may have to go back meanwhile
        async with self._changing:
            before = self._start_of(model, alias, version)
            rollout = Rollout(alias=alias, version=version, before=before, seconds=seconds, stop_if=bounds_text(bounds), by=by)
            if not await self._rights.take(model):
                raise InvalidInput(f"another server walks an alias of {model}; ask that one", field="model")
            walk = self._add(model, rollout, bounds)
            try:
                await self._record(walk)
                await self._take(walk, next_step(rollout, 0.0, {before: 1.0}, Verdict()))
            except ServiceError as error:
                walk.rollout = rollout.model_copy(update={"state": "ended", "reason": f"it could not begin: {error}"})
                self._forget(walk)
                await self._end(walk)
                raise
            return walk.rollout

    async def _advance(self, walk: Walk) -> None:
        failure = self._aliases.failure(walk.new)
        verdict = Verdict(broken=f"it cannot be served: {failure}") if failure else walk.verdict()
        meaning = self._aliases.meaning(walk.model, walk.rollout.alias)
        walk.look(self._clock())
        step = next_step(walk.rollout, walk.rollout.walked_seconds, meaning, verdict)
        if step.state != "walking" or step.meaning is not None:
            await self._take(walk, step)
        elif step.reason != walk.rollout.reason:
            walk.rollout = walk.rollout.model_copy(update={"reason": step.reason})
            log.info("%s %s", walk.name, step.reason or "goes on")
        if walk.rollout.walking and self._clock() - walk.recorded_seconds >= RECORD_SECONDS:
            await self._record(walk)

    async def _take(self, walk: Walk, step: Step) -> None:
        """The alias first, then the record of it: by both, whoever goes on knows where it stands."""
        rollout = walk.rollout
        if step.meaning is not None:
            back = step.state == "rolled_back"
            walked = duration_words(round(rollout.walked_seconds))
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
        ended = None if step.state == "walking" else datetime.now(UTC).replace(microsecond=0)
        walk.step({"state": step.state, "share": step.share, "reason": step.reason, "ended": ended})
        log.log(logging.ERROR if step.state == "rolled_back" else logging.INFO, "%s walks %s", walk.name, walk.rollout.words)
        self._on_change(walk.model, walk.rollout)
        if walk.rollout.walking:
            await self._record(walk)
        else:
            self._forget(walk)
            await self._end(walk)

    async def _take_over(self, model: str) -> None:
        """What walks by its record, and is walked by nobody."""
        try:
            recorded = await asyncio.to_thread(self._repository.rollouts, model)
        except ServiceError as error:
            log.warning("whether an alias of %s walks cannot be told: %s", model, error)
            return
        for rollout in recorded.values():
            if not rollout.walking:
                continue
            try:
                await self._resume(model, rollout)
            except (ServiceError, ValueError) as error:
                self._tell_left(f"{model}@{rollout.alias}", str(error))
                await self._give_back(model)
            else:
                self._left.pop(f"{model}@{rollout.alias}", None)

    def _tell_left(self, name: str, why: str) -> None:
        """Once, for it is tried again and again."""
        if self._left.get(name) != why:
            log.error("%s stays as it is, for it cannot walk on: %s", name, why)
        self._left[name] = why

    async def _resume(self, model: str, rollout: Rollout) -> None:
        """Raises ServiceError, ValueError: its record is damaged."""
        bounds = parse_bounds(rollout.stop_if)
        if not await self._rights.take(model):
            log.debug("%s@%s is walked by another server", model, rollout.alias)
            return
        step = resumed(rollout, self._aliases.meaning(model, rollout.alias))
        walk = self._add(model, rollout.model_copy(update={"share": step.share, "reason": step.reason}), bounds)
        if step.state == "walking":
            log.info("%s goes on where a server ended: %s", walk.name, walk.rollout.words)
            self._on_change(model, walk.rollout)
        else:
            await self._take(walk, step)

    def _start_of(self, model: str, alias: str, version: int) -> int:
        """The version that the alias means, alone."""
        if model not in self._aliases.models():
            raise UnknownModel(f"there is no model {model[:_LONGEST_NAME]!r}", field="model")
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

    def _add(self, model: str, rollout: Rollout, bounds: tuple[Bound, ...]) -> Walk:
        now = self._clock()
        walk = self._walks[model, rollout.alias] = Walk(model, rollout, bounds, now, now)
        self._index()
        return walk

    def _forget(self, walk: Walk) -> None:
        self._walks.pop((walk.model, walk.rollout.alias), None)
        self._index()

    def _index(self) -> None:
        self._by_version = {}
        for walk in self._walks.values():
            for key in (walk.new, walk.old):
                self._by_version.setdefault(key, []).append(walk)

    async def _record(self, walk: Walk) -> None:
        """What cannot be written is tried again a while later, not at each look."""
        walk.recorded_seconds = self._clock()
        await self._rights.write(walk.model, walk.shown)

    async def _end(self, walk: Walk) -> None:
        try:
            await self._rights.write(walk.model, walk.rollout)
        finally:
            await self._give_back(walk.model)

    async def _give_back(self, model: str) -> None:
        """Unless another alias of it walks."""
        if not any(walking == model for walking, _ in self._walks):
            await self._rights.give_back(model)
