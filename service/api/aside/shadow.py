"""Shadow runs: requests that were answered run on another version besides, and the answers are held against each other.

Only in time that nobody else wants, one at a time, and never in an answer: what finds no such time within a second is dropped and
counted. Live sequences and requests with initial states are left out: the states of one version mean nothing to another.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from cellserve.service.api.aside.differences import largest_difference
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
_LOOK_AGAIN_SECONDS: Final = 0.005
_MOST_WAITING: Final = 4  # requests whose inputs are kept meanwhile
_COMPARED_SHARE: Final = 0.2  # of the requests to versions that somebody else wants compared


class Versions(Protocol):
    """The part of the catalog that shadow runs use."""

    def ready(self, model: str, version: str = "") -> bool: ...

    def model_settings(self, model: str) -> ModelSettings: ...

    async def acquire_pinned(self, model: str, version: int) -> Lease: ...


class Runner(Protocol):
    """What computes in time that nobody else wants."""

    def spare(self) -> bool:
        """Whether there is such time now."""

    async def run_aside(self, works: Sequence[Work]) -> list[Delivery] | None:
        """None: there was none, or somebody came meanwhile. Raises ServiceError."""


class Shadow:
    """Lives on the event loop. signature: of a loaded version. compares: with which other version somebody wants one compared, if
    any. told: how each run ended. draw: a number in [0, 1).
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
    ) -> None:
        self._versions = versions
        self._runner = runner
        self._signature = signature
        self._told = told
        self._compares = compares
        self._draw = draw
        self._pause = pause
        self._turn = asyncio.Lock()
        self._runs: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> int:
        """How many wait or run."""
        return len(self._runs)

    def offer(self, version: LoadedVersion, rows: RowInputs, answers: Sequence[Delivery]) -> None:
        """A request was answered by this version; whether it runs on another one besides is decided here."""
        other = self._wanted(version.key)
        if other is None or rows.states is not None:
            return
        if len(self._runs) >= _MOST_WAITING:
            self._tell(version.key, other, "dropped")
            return
        run = asyncio.create_task(self._run(version, other, rows, answers))
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)

    async def stop(self) -> None:
        """What waits or runs is dropped."""
        runs = list(self._runs)
        for run in runs:
            run.cancel()
        if runs:
            await asyncio.wait(runs)

    def _wanted(self, key: VersionKey) -> VersionKey | None:
        wish = self._versions.model_settings(key.model).shadow
        compared = self._compares(key)
        if compared is not None and self._draw() < _COMPARED_SHARE:
            return compared
        if wish is not None and wish.version != key.version and self._draw() < wish.share:
            return VersionKey(key.model, wish.version)
        return None

    async def _run(self, version: LoadedVersion, other: VersionKey, rows: RowInputs, answers: Sequence[Delivery]) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS), self._turn:
                while not self._runner.spare():
                    await self._pause(_LOOK_AGAIN_SECONDS)
                result, difference, seconds = await self._compared(version, other, rows, answers)
        except TimeoutError:
            result, difference, seconds = "dropped", None, None
        except Exception:
            log.exception("a request to %s could not run on %s besides", version.key, other)
            result, difference, seconds = "failed", None, None
        self._tell(version.key, other, result, difference, seconds)

    async def _compared(
        self, version: LoadedVersion, other: VersionKey, rows: RowInputs, answers: Sequence[Delivery]
    ) -> tuple[ShadowResult, float | None, float | None]:
        """How it ended, how far the answers differ, and what the computing took."""
        if not self._versions.ready(other.model, str(other.version)):
            return "not_ready", None, None
        with await self._versions.acquire_pinned(*other) as lease:
            if not _alike(self._signature(version), self._signature(lease.version)):
                return "unlike", None, None
            try:
                found = await self._runner.run_aside(works(other, rows, RunOptions()))
            except ServiceError as error:
                log.debug("a request to %s failed on %s: %s", version.key, other, error)
                return "failed", None, None
        if found is None:
            return "dropped", None, None
        difference = await asyncio.to_thread(largest_difference, [one.outputs for one in answers], [one.outputs for one in found])
        return "compared", difference, sum(one.compute_seconds for one in found)

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
