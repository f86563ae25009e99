"""Shadow runs: requests that were answered run on another version besides, and the answers are held against each other.

Only in time that nobody else wants, one at a time, and never in an answer: what finds no such time within a second is dropped and
counted. But what an alias waits for that walks takes its turn among requests then, as seldom as insistence.py says: else a walk
would stand still wherever there is no idle time. Live sequences and requests with initial states are left out: the states of one
version mean nothing to another.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, Protocol

from cellserve.service.api.aside.differences import largest_difference
from cellserve.service.api.aside.insistence import Insistence
from cellserve.service.api.facts import ShadowFact, ShadowResult
from cellserve.service.api.requests.row_inputs import RowInputs, RunOptions, works
from cellserve.service.api.requests.signature import Signature
from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.sequence import Work
from cellserve.service.errors import ServiceError
from cellserve.service.registry.lease import Lease, LoadedVersion
from cellserve.service.registry.model_settings import ModelSettings

log = logging.getLogger(__name__)

_PATIENCE_SECONDS: Final = 1.0
_LONGEST_TURN_SECONDS: Final = 60.0  # among requests
_LOOK_AGAIN_SECONDS: Final = 0.005
_MOST_WAITING: Final = 4  # requests whose inputs are kept meanwhile
_COMPARED_SHARE: Final = 0.2  # of the requests to versions that somebody else wants compared


class Versions(Protocol):
    """The part of the catalog that shadow runs use."""

    def ready(self, model: str, version: str = "") -> bool: ...

    def model_settings(self, model: str) -> ModelSettings: ...

    async def acquire_pinned(self, model: str, version: int) -> Lease: ...


class Wish(NamedTuple):
    """That a request runs on another version besides. insists: also where there is no idle time."""

    other: VersionKey
    insists: bool


class Runner(Protocol):
    """What computes besides."""

    def spare(self) -> bool:
        """Whether there is such time now."""

    async def run_aside(self, works: Sequence[Work]) -> list[Delivery] | None:
        """In time that nobody else wants. None: there was none, or somebody came meanwhile. Raises ServiceError."""

    async def run_among(self, works: Sequence[Work]) -> list[Delivery] | None:
        """As a request of somebody's. None: there is no room for it. Raises ServiceError."""


class Shadow:
    """Lives on the event loop. signature: of a loaded version. compares: with which other version somebody wants one compared, if
    any. told: how each run ended. draw: a number in [0, 1). clock: seconds.
    """

    def __init__(
        self,
        versions: Versions,
        runner: Runner,
        signature: Callable[[LoadedVersion], Signature],
        told: Callable[[ShadowFact], None],
        compares: Callable[[VersionKey], VersionKey | None] = lambda key: None,
        draw: Callable[[], float] = random.random,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._versions = versions
        self._runner = runner
        self._signature = signature
        self._told = told
        self._compares = compares
        self._draw = draw
        self._pause = pause
        self._clock = clock
        self._insistence = Insistence()
        self._turn = asyncio.Lock()
        self._runs: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> int:
        """How many wait or run."""
        return len(self._runs)

    def offer(self, version: LoadedVersion, rows: RowInputs, answers: Sequence[Delivery]) -> None:
        """A request was answered by this version; whether it runs on another one besides is decided here."""
        wish = self._wanted(version.key)
        if wish is None or rows.states is not None:
            return
        if len(self._runs) >= _MOST_WAITING:
            self._tell(version.key, wish.other, "dropped")
            return
        run = asyncio.create_task(self._run(version, wish, rows, answers))
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)

    async def stop(self) -> None:
        """What waits or runs is dropped."""
        runs = list(self._runs)
        for run in runs:
            run.cancel()
        if runs:
            await asyncio.wait(runs)

    def _wanted(self, key: VersionKey) -> Wish | None:
        wish = self._versions.model_settings(key.model).shadow
        compared = self._compares(key)
        if compared is not None and self._draw() < _COMPARED_SHARE:
            return Wish(compared, insists=True)
        if wish is not None and wish.version != key.version and self._draw() < wish.share:
            return Wish(VersionKey(key.model, wish.version), insists=False)
        return None

    async def _run(self, version: LoadedVersion, wish: Wish, rows: RowInputs, answers: Sequence[Delivery]) -> None:
        other = wish.other
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS) as patience, self._turn:
                end = self._clock() + _PATIENCE_SECONDS / 2
                while not (idle := self._runner.spare()) and not (wish.insists and self._due(end)):
                    await self._pause(_LOOK_AGAIN_SECONDS)
                patience.reschedule(asyncio.get_running_loop().time() + _LONGEST_TURN_SECONDS)
                result, difference, seconds = await self._compared(version, wish, rows, answers, idle)
        except TimeoutError:
            result, difference, seconds = "dropped", None, None
        except Exception:
            log.exception("a request to %s could not run on %s besides", version.key, other)
            result, difference, seconds = "failed", None, None
        self._tell(version.key, other, result, difference, seconds)

    def _due(self, end_seconds: float) -> bool:
        """Whether it has waited long enough, and may take a turn among requests."""
        now = self._clock()
        return now >= end_seconds and self._insistence.due(now)

    async def _compared(
        self, version: LoadedVersion, wish: Wish, rows: RowInputs, answers: Sequence[Delivery], idle: bool
    ) -> tuple[ShadowResult, float | None, float | None]:
        """How it ended, how far the answers differ, and what the computing took. idle: there is time that nobody wants."""
        other = wish.other
        if not self._versions.ready(other.model, str(other.version)):
            return "not_ready", None, None
        with await self._versions.acquire_pinned(*other) as lease:
            if not _alike(self._signature(version), self._signature(lease.version)):
                return "unlike", None, None
            try:
                found = await self._computed(works(other, rows, RunOptions()), wish, idle)
            except ServiceError as error:
                log.debug("a request to %s failed on %s: %s", version.key, other, error)
                return "failed", None, None
        if found is None:
            return "dropped", None, None
        difference = await asyncio.to_thread(largest_difference, [one.outputs for one in answers], [one.outputs for one in found])
        return "compared", difference, sum(one.compute_seconds for one in found)

    async def _computed(self, work: list[Work], wish: Wish, idle: bool) -> list[Delivery] | None:
        """What made way for others takes its turn among them, where it is due."""
        found = await self._runner.run_aside(work) if idle else None
        if found is None and wish.insists and self._insistence.due(self._clock()):
            began = self._clock()
            try:
                found = await self._runner.run_among(work)
            finally:
                self._insistence.took(self._clock(), self._clock() - began)
        return found

    def _tell(
        self,
        version: VersionKey,
        other: VersionKey,
        result: ShadowResult,
        difference: float | None = None,
        seconds: float | None = None,
    ) -> None:
        self._told(ShadowFact(version, other, result, difference, seconds))


def _alike(one: Signature, other: Signature) -> bool:
    """Whether both take the same inputs and answer in the same shapes."""
    return (one.inputs, one.outputs) == (other.inputs, other.outputs)
