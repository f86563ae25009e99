"""A real gRPC server over loopback, a real engine, and a catalog that holds what a test puts in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from cellserve.models.description.shapes import expected_weights
from cellserve.models.network import Network
from cellserve.models.spec import ModelSpec
from cellserve.models.weights import Weights
from cellserve.service.api.door import Door
from cellserve.service.api.facts import ConnectionFact, RequestFact, RpcMethod, TurnedAway
from cellserve.service.api.fronts.options import ServerOptions
from cellserve.service.api.requests.row_inputs import Limits
from cellserve.service.api.server import ApiServer
from cellserve.service.api.submission.execution import Execution
from cellserve.service.api.submission.inbox import Inbox
from cellserve.service.config import Settings
from cellserve.service.engine.engine import Engine, EngineSettings
from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import UnknownModel, UnknownVersion
from cellserve.service.metrics.statistics import Statistics
from cellserve.service.pb import cellserve_pb2_grpc, open_inference_pb2_grpc
from cellserve.service.pb import open_inference_pb2 as pb
from cellserve.service.registry.lease import Lease, LoadedVersion
from cellserve.service.registry.manifest import Manifest, ParityRecord, SourceRecord
from cellserve.service.registry.model_settings import ModelSettings
from cellserve.service.registry.publishing.publishing import Publishing
from cellserve.service.registry.publishing.uploads import UploadLimits
from cellserve.service.registry.repository.repository import Repository
from cellserve.service.registry.rollout.rollouts import Rollouts
from cellserve.service.registry.status import AliasStatus, VersionState, VersionStatus
from cellserve.service.sessions.sessions import Sessions
from cellserve.service.sessions.settings import SessionSettings
from tests.fakes import FakeNetwork, RecordingObserver

LIMITS = Limits(rows=16, steps=2000, reply_bytes=200_000)
MESSAGE_BYTES = 200_000
SESSIONS = SessionSettings()


class FakeCatalog:
    """Versions that are all loaded, until they are taken out."""

    def __init__(self) -> None:
        self.versions: dict[VersionKey, LoadedVersion] = {}
        self.leases = 0
        self.failure: Exception | None = None  # what acquire raises
        self.settings = ModelSettings()  # of every model

    async def acquire(self, model: str, version: str = "", split_key: Callable[[], str] = str) -> Lease:
        if self.failure is not None:
            raise self.failure
        numbers = [key.version for key in self.versions if key.model == model]
        if not numbers:
            raise UnknownModel(f"there is no model {model!r}", field="model")
        number = int(version) if version else max(numbers)
        if number not in numbers:
            raise UnknownVersion(f"{model} has no version {number}", field="version")
        self.leases += 1
        return Lease(self.versions[VersionKey(model, number)], self._release)

    def ready(self, model: str, version: str = "") -> bool:
        return any(key.model == model and version in ("", str(key.version)) for key in self.versions)

    def index(self) -> list[VersionStatus]:
        return [VersionStatus(key.model, key.version, VersionState.READY) for key in sorted(self.versions)]

    def aliases(self) -> list[AliasStatus]:
        return []

    def model_settings(self, model: str) -> ModelSettings:
        return self.settings

    def _release(self) -> None:
        self.leases -= 1


class RecordingDoorObserver:
    def __init__(self) -> None:
        self.started: list[RpcMethod] = []
        self.handled: list[tuple[RpcMethod, str]] = []
        self.requests: list[RequestFact] = []
        self.turned_away: list[TurnedAway] = []
        self.loop_told = False
        self.connections: list[ConnectionFact] = []

    def on_rpc_started(self, method: RpcMethod) -> None:
        self.started.append(method)

    def on_rpc_handled(self, method: RpcMethod, code: str, seconds: float) -> None:
        self.handled.append((method, code))

    def on_request(self, fact: RequestFact) -> None:
        self.requests.append(fact)

    def on_turned_away(self, fact: TurnedAway) -> None:
        self.turned_away.append(fact)

    def on_loop(self, lag_seconds: float) -> None:
        self.loop_told = True

    def on_connection(self, fact: ConnectionFact) -> None:
        self.connections.append(fact)


@dataclass
class Harness:
    """A server under test, and the stubs to call it."""

    engine: Engine
    catalog: FakeCatalog
    execution: Execution
    sessions: Sessions
    server: ApiServer
    observer: RecordingDoorObserver
    engine_observer: RecordingObserver
    channel: grpc.aio.Channel
    open_inference: Any = field(init=False)
    sequences: Any = field(init=False)

    def __post_init__(self) -> None:
        self.open_inference = open_inference_pb2_grpc.GRPCInferenceServiceStub(self.channel)
        self.sequences = cellserve_pb2_grpc.SequencesStub(self.channel)

    def add(self, model: str, network: Any, version: int = 1) -> None:
        key = VersionKey(model, version)
        self.engine.add_version(key, network)
        self.catalog.versions[key] = loaded(key, network)

    async def infer(self, request: pb.ModelInferRequest, timeout: float | None = 30.0) -> pb.ModelInferResponse:
        return await self.open_inference.ModelInfer(request, timeout=timeout)

    async def rows_are_free(self, rows: int) -> None:
        """Returns once nothing is live and all `rows` state rows are free; the limit only keeps a broken test from hanging."""
        async with asyncio.timeout(30):
            while any(fact.active_sequences or fact.waiting_timesteps or fact.rows_free != rows for fact in self.engine.lanes()):
                await asyncio.sleep(0.005)


def loaded(key: VersionKey, network: Any) -> LoadedVersion:
    digest = f"sha256:{'0' * 64}"
    manifest = Manifest(
        model=key.model,
        version=key.version,
        spec=network.spec,
        weights_digest=digest,
        source=SourceRecord(framework="keras", version="3.0", file="model.keras", digest=digest),
        parity=ParityRecord(bound=1e-5, differences={}),
        golden={},
    )
    return LoadedVersion(
        key,
        manifest,
        network.spec,
        network.shapes,
        network.state_layout,
        network.implementations,
        network.default_implementation,
        network.causal,
    )


def network_of(spec: dict[str, Any], seed: int = 0) -> tuple[Network, dict[str, np.ndarray]]:
    """A real network with random weights, and those weights."""
    described = ModelSpec.model_validate(spec)
    numbers = np.random.default_rng(seed)
    arrays = {name: numbers.normal(0.0, 0.3, shape).astype(np.float32) for name, shape in expected_weights(described).items()}
    return Network(described, Weights.of(arrays)), arrays


def tensor(array: np.ndarray, name: str, datatype: str) -> pb.ModelInferRequest.InferInputTensor:
    return pb.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=array.shape)


_DATATYPES = {
    "float32": "FP32",
    "int32": "INT32",
    "int64": "INT64",
    "bool": "BOOL",
    "float64": "FP64",
    "float16": "FP16",
    "uint16": "BF16",
    "uint8": "UINT8",
}


def infer_request(model: str, version: str = "", **arrays: np.ndarray) -> pb.ModelInferRequest:
    """A raw request; `state_0_h` is `state.0.h`."""
    request = pb.ModelInferRequest(model_name=model, model_version=version, id="r1")
    for name, array in arrays.items():
        wire_name = name.replace("_", ".") if name.startswith("state") else name
        request.inputs.append(tensor(array, wire_name, _DATATYPES[array.dtype.name]))
        request.raw_input_contents.append(np.ascontiguousarray(array).tobytes())
    return request


def outputs_of(response: pb.ModelInferResponse) -> dict[str, np.ndarray]:
    return {
        output.name: np.frombuffer(raw, np.float32).reshape(output.shape)
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }


@pytest.fixture
def harness_of() -> Callable[..., Any]:
    """Makes a harness, `async with harness_of(max_active_sequences=4) as harness`."""

    @asynccontextmanager
    async def make(
        limits: Limits = LIMITS, session_settings: SessionSettings = SESSIONS, **settings: Any
    ) -> AsyncIterator[Harness]:
        catalog, observer, engine_observer = FakeCatalog(), RecordingDoorObserver(), RecordingObserver()
        inbox = Inbox(asyncio.get_running_loop())
        deaths: list[BaseException] = []
        engine = Engine(inbox.deliver, engine_observer, replace(EngineSettings(), **settings), deaths.append)
        execution = Execution(engine, inbox)
        sessions = Sessions(execution.feed, catalog, session_settings)
        server = ApiServer(
            Door(catalog, execution, limits, sessions),
            Publishing(Repository(Path("nowhere")), UploadLimits(1, 1, 1.0)),
            Rollouts(Repository(Path("nowhere")), catalog),
            observer,
            Statistics(),
            ServerOptions("127.0.0.1", 0, MESSAGE_BYTES, front=Settings().front),
            server_version="1.2.3",
        )
        port = server.bind()
        engine.start()
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Harness(engine, catalog, execution, sessions, server, observer, engine_observer, channel)
        server.close()
        await server.stop(0.5)
        await sessions.stop()
        await asyncio.to_thread(engine.stop)
        assert not deaths

    return make


@pytest.fixture
async def harness(harness_of: Callable[..., Any]) -> AsyncIterator[Harness]:
    """With `sums`: FakeNetwork(2), steps [T, 2] in, `outputs` [T, 2] and `outputs_1` [2] out."""
    async with harness_of(max_active_sequences=8) as made:
        made.add("sums", FakeNetwork(2))
        yield made
