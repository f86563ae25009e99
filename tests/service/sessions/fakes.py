"""A catalog and an engine small enough to know every answer: version n of a model sums n times what is fed.

The state is the sum so far, and one `seen` column, which the engine sets and no feed may ever begin with.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from cellserve.models.description.layers.cells import LstmLayer
from cellserve.models.description.state_layout import SEEN, StateColumns, StateLayout
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.spec import InputSpec, ModelSpec
from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.sequence import Work
from cellserve.service.errors import InvalidInput, ServiceError, UnknownModel, UnknownVersion
from cellserve.service.registry.lease import Lease, LoadedVersion
from cellserve.service.registry.manifest import Manifest, ParityRecord, SourceRecord
from cellserve.service.registry.model_settings import ModelSettings
from cellserve.service.sessions.feed import CheckedFeed, Feed, FeedReply
from cellserve.service.sessions.observer import SessionEvent
from cellserve.service.sessions.sessions import Sessions
from cellserve.service.sessions.settings import SessionSettings
from tests.fakes import FakeClock

WIDTH = 2
SPEC = ModelSpec(
    inputs=(InputSpec(name="x", width=WIDTH),), layers=(LstmLayer(name="sums", inputs=("x",), units=WIDTH),), outputs=("sums",)
)
LAYOUT = StateLayout((StateColumns(0, "sums", "h", 0, WIDTH), StateColumns(0, "sums", SEEN, WIDTH, 1)), WIDTH + 1)


def version(
    model: str, number: int, *, causal: bool = True, weights: int | None = None, layout: StateLayout = LAYOUT
) -> LoadedVersion:
    """weights: versions with the same ones have the same digest; by default the number."""
    digest = "sha256:" + hashlib.sha256(str(number if weights is None else weights).encode()).hexdigest()
    manifest = Manifest(
        model=model,
        version=number,
        spec=SPEC,
        weights_digest=digest,
        source=SourceRecord(framework="keras", version="2", file="x.h5", digest="sha256:0"),
        parity=ParityRecord(bound=1e-5, differences={}),
        golden={},
    )
    return LoadedVersion(
        key=VersionKey(model, number),
        manifest=manifest,
        spec=SPEC,
        shapes={name: TensorShape(True, (WIDTH,)) for name in ("x", "sums")},
        state_layout=layout,
        implementations={"2": None},
        default_implementation="2",
        causal=causal,
    )


class FakeVersions:
    """`stable` answers requests without a version. leases: how many each version has lent and not got back."""

    def __init__(self, *versions: LoadedVersion) -> None:
        self.loaded = {version.key: version for version in versions}
        self.stable = {version.key.model: version.key.version for version in versions}
        self.leases = dict.fromkeys(self.loaded, 0)
        self.settings: dict[str, ModelSettings] = {}
        self.split_keys: list[str] = []

    def add(self, version: LoadedVersion) -> None:
        self.loaded[version.key] = version
        self.leases.setdefault(version.key, 0)

    async def acquire(self, model: str, version: str = "", split_key: Callable[[], str] = str) -> Lease:
        self.split_keys.append(split_key())
        if model not in self.stable:
            raise UnknownModel(f"there is no model {model!r}")
        key = VersionKey(model, int(version or self.stable[model]))
        await asyncio.sleep(0)
        if key not in self.loaded:
            raise UnknownVersion(f"{key} does not exist")
        self.leases[key] += 1
        return Lease(self.loaded[key], lambda: self._give_back(key))

    async def acquire_pinned(self, model: str, version: int) -> Lease:
        return await self.acquire(model, str(version))

    def is_wanted(self, key: VersionKey) -> bool:
        return self.stable.get(key.model) == key.version

    def _give_back(self, key: VersionKey) -> None:
        self.leases[key] -= 1

    def model_settings(self, model: str) -> ModelSettings:
        return self.settings.get(model, ModelSettings())


class FakeEngine:
    """Answers after `turns` rounds of the event loop, or when `gate` is opened. failures: raised, one for each work."""

    def __init__(self) -> None:
        self.works: list[Work] = []
        self.failures: list[ServiceError] = []
        self.gate: asyncio.Event | None = None
        self.turns = 1

    async def run(self, works: Sequence[Work]) -> list[Delivery]:
        self.works += works
        if self.failures:
            raise self.failures.pop(0)
        for _ in range(self.turns):
            await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        return [_summed(work) for work in works]


def _summed(work: Work) -> Delivery:
    before = np.zeros(WIDTH, np.float32) if work.state is None else work.state[:WIDTH]
    if work.state is not None and work.state[WIDTH]:
        raise AssertionError("a feed begins as a call of its own: nothing has been seen in it yet")
    valid = work.inputs[0] if work.mask is None else np.where(work.mask[:, None], work.inputs[0], 0)
    sums = (before + work.version.version * np.cumsum(valid, axis=0)).astype(np.float32)
    state = np.append(sums[-1], np.float32(1.0)).astype(np.float32)
    return Delivery(1, (sums,), state if work.want_state else None, None, "2", len(sums), 1, 0.0, 0.0)


class FakeObserver:
    def __init__(self) -> None:
        self.events: list[SessionEvent] = []
        self.steps: list[float] = []

    def on_session_event(self, version: VersionKey | None, event: SessionEvent) -> None:
        self.events.append(event)

    def on_session_step(self, version: VersionKey, seconds: float) -> None:
        self.steps.append(seconds)


def steps(*values: float) -> np.ndarray:
    """[T, WIDTH]: each step feeds a value to the first column and its double to the second."""
    return np.array([[value, 2 * value] for value in values], np.float32).reshape(len(values), WIDTH)


def feed(inputs: np.ndarray | None = None, *, state: np.ndarray | None = None, want_state: bool = False, **asked: object) -> Feed:
    """inputs: [T, WIDTH], or None for a feed of no time steps."""

    def check(lent: LoadedVersion) -> CheckedFeed:
        if inputs is not None and inputs.shape[-1] != WIDTH:
            raise InvalidInput("the wrong width", field="inputs")
        return CheckedFeed(() if inputs is None else (inputs,), initial_state=state, want_state=want_state)

    return Feed(check=check, **asked)  # type: ignore[arg-type]


def answer(reply: FeedReply) -> list[float]:
    """The first column of the sums after each step."""
    return [] if reply.delivery is None else reply.delivery.outputs[0][:, 0].tolist()


class Stage:
    """Sessions between a fake catalog and a fake engine, on a clock moved by hand."""

    def __init__(self, *versions: LoadedVersion, run: Callable[..., object] | None = None, **settings: object) -> None:
        self.clock = FakeClock()
        self.versions = FakeVersions(*(versions or (version("m", 1),)))
        self.engine = FakeEngine()
        self.observer = FakeObserver()
        self.settings = SessionSettings(**settings)  # type: ignore[arg-type]
        self.sessions = self.again()

    def again(self) -> Sessions:
        """Another server over the same catalog and folder; not started."""
        self.sessions = Sessions(self.engine.run, self.versions, self.settings, self.observer, self.clock, self.clock)
        return self.sessions

    async def feed(self, session_id: str, *values: float, model: str = "m", **asked: object) -> FeedReply:
        return await self.sessions.feed(model, session_id, feed(steps(*values) if values else None, **asked))

    async def start(self, session_id: str, *values: float, **asked: object) -> FeedReply:
        return await self.feed(session_id, *values, start=True, **asked)
