"""What every inference method shares: a version lent, a request checked, its rows run, and what the call learns of it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, TypeVar

from cellserve.service.api.aside.samples import Samples
from cellserve.service.api.calls import CURRENT
from cellserve.service.api.requests.outputs import WantedOutputs, compute_seconds, queue_seconds
from cellserve.service.api.requests.row_inputs import Limits, RowInputs, RunOptions, works
from cellserve.service.api.requests.signature import Signature, Signatures
from cellserve.service.api.submission.execution import Execution
from cellserve.service.engine.batch import Delivery
from cellserve.service.registry.description import VersionDescription
from cellserve.service.registry.lease import Lease, LoadedVersion
from cellserve.service.registry.manifest import ModelRef, parse_version
from cellserve.service.registry.model_settings import ModelSettings
from cellserve.service.registry.policy.rollout import Rollout
from cellserve.service.registry.publishing.declaration import Declaration
from cellserve.service.registry.publishing.publishing import Part, Published, Unfinished
from cellserve.service.registry.status import AliasStatus, VersionStatus
from cellserve.service.sessions.feed import Feed, FeedReply
from cellserve.service.sessions.info import SessionInfo

Reply = TypeVar("Reply")


class Versions(Protocol):
    """The part of the catalog that the door uses."""

    async def acquire(self, model: str, version: str = "", split_key: Callable[[], str] = ...) -> Lease: ...

    def ready(self, model: str, version: str = "") -> bool: ...

    def index(self) -> list[VersionStatus]: ...

    def aliases(self) -> list[AliasStatus]: ...

    async def describe(self, model: str, version: str = "") -> VersionDescription: ...

    def model_settings(self, model: str) -> ModelSettings: ...

    async def set_alias(self, model: str, alias: str, version: int, by: str = "", share: float = 1.0) -> int | None: ...

    async def remove(self, ref: ModelRef, by: str = "") -> None: ...

    async def load(self, model: str) -> None: ...

    async def unload(self, model: str) -> None: ...


class Sessions(Protocol):
    """The part of the table of live sequences that the door uses."""

    async def feed(self, model: str, session_id: str, feed: Feed) -> FeedReply: ...

    async def inventory(self, model: str | None = None) -> list[SessionInfo]: ...

    async def inspect(self, model: str, session_id: str) -> SessionInfo: ...

    async def snapshot(self, model: str, session_id: str) -> bytes: ...

    async def restore(self, model: str, snapshot: bytes, session_id: str | None, *, restart: bool = False) -> SessionInfo: ...

    async def fork(self, model: str, session_id: str, new_id: str | None) -> SessionInfo: ...

    async def close(self, model: str, session_id: str) -> None: ...

    def idle_seconds(self, model: str) -> float: ...


class Publishing(Protocol):
    """What takes publications, and proves what is published."""

    async def publish(self, declaration: Declaration, parts: AsyncIterator[Part]) -> Published | Unfinished: ...

    def verify(self, reference: ModelRef | None) -> AsyncIterator[Mapping[str, Any]]: ...


class Walking(Protocol):
    """What walks aliases from one version to another."""

    async def begin(self, model: str, alias: str, version: int, seconds: float, stop_if: str, by: str) -> Rollout: ...

    async def of(self, model: str) -> list[Rollout]: ...


class Aside(Protocol):
    """What is done with answered requests besides; must not block, and not raise."""

    def offer(self, version: LoadedVersion, rows: RowInputs, answers: Sequence[Delivery]) -> None: ...


class NothingAside:
    def offer(self, version: LoadedVersion, rows: RowInputs, answers: Sequence[Delivery]) -> None:
        """Nothing is done."""


class CheckedRequest(NamedTuple):
    """A request checked against a version, ready to run."""

    rows: RowInputs
    options: RunOptions
    wanted: WantedOutputs


class Door:
    """Lives on the event loop."""

    def __init__(self, versions: Versions, execution: Execution, limits: Limits, sessions: Sessions) -> None:
        self.versions = versions
        self.execution = execution
        self.limits = limits
        self.sessions = sessions
        self.signatures = Signatures()
        self.shadow: Aside = NothingAside()
        self.samples = Samples(versions.model_settings)

    def limits_of(self, model: str) -> Limits:
        """The server's, or tighter ones of the model's owner."""
        own = self.versions.model_settings(model).limits
        if own is None:
            return self.limits
        rows, steps = own.max_rows_per_request, own.max_steps_per_sequence
        return replace(
            self.limits,
            rows=min(self.limits.rows, rows or self.limits.rows),
            steps=min(self.limits.steps, steps or self.limits.steps),
        )

    async def run(
        self,
        model: str,
        version: str,
        check: Callable[[LoadedVersion, Signature], CheckedRequest],
        reply: Callable[[LoadedVersion, Signature, CheckedRequest, list[Delivery]], Reply],
    ) -> Reply:
        """Lends the version, checks, runs, replies. Raises what the catalog, `check` and the engine raise."""
        call = CURRENT.get()
        self.execution.require_open()
        with await self.versions.acquire(model, version, lambda: call.asker().split_key) as lease:
            lent = lease.version
            call.version = lent.key
            signature = self.signatures.of(lent)
            began = time.perf_counter()
            checked = check(lent, signature)
            call.input_seconds = time.perf_counter() - began
            call.implementation = checked.options.implementation or lent.default_implementation
            done = await self.execution.run(works(lent.key, checked.rows, checked.options))
            call.implementation = done[0].implementation
            began = time.perf_counter()
            answer = reply(lent, signature, checked, done)
            call.output_seconds = time.perf_counter() - began
            call.queue_seconds, call.compute_seconds = queue_seconds(done), compute_seconds(done)
            self.shadow.offer(lent, checked.rows, done)
            if parse_version(version) is None:  # who names a number tries versions out
                self.samples.offer(lent, checked.rows, done)
            return answer
