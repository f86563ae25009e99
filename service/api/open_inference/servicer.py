"""inference.GRPCInferenceService: a table of its methods. What each one does is in the module that its line names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, Final, NoReturn

from cellserve.service.api.call_context import Caller
from cellserve.service.api.door import Door, Publishing
from cellserve.service.api.facts import DoorObserver
from cellserve.service.api.open_inference import (
    metadata,
    model_config,
    repository_control,
    server_settings,
    shared_memory,
    statistics,
)
from cellserve.service.api.open_inference.inference import infer, infer_dense
from cellserve.service.api.open_inference.inference_stream import InferenceStream
from cellserve.service.api.open_inference.statistics import StatisticsSource
from cellserve.service.api.open_inference.usual.request_bytes import DenseRequest
from cellserve.service.api.overload.askers import streaming_asker_of
from cellserve.service.api.streams import StreamedRequests, answers
from cellserve.service.counted_log import CountedLog
from cellserve.service.errors import ServiceError
from cellserve.service.pb import open_inference_pb2 as pb
from cellserve.service.pb.open_inference_pb2_grpc import GRPCInferenceServiceServicer

SERVER_NAME: Final = "cellserve"
EXTENSIONS: Final = (
    "binary_tensor_data",
    "model_configuration",
    "model_repository",
    "parameters",
    "schedule_policy",
    "sequence",
    "sequence(string_id)",
    "statistics",
)


class OpenInferenceServicer(GRPCInferenceServiceServicer):
    """named: who makes a call, for the record. server_version: of the package, as ServerMetadata tells it."""

    def __init__(
        self,
        door: Door,
        publishing: Publishing,
        named: Callable[[Caller], str],
        observer: DoorObserver,
        totals: StatisticsSource,
        server_version: str,
        refusal_log: CountedLog,
    ) -> None:
        self._door = door
        self._publishing = publishing
        self._named = named
        self._around = StreamedRequests(observer, refusal_log)
        self._totals = totals
        self._server_version = server_version
        self._streams_end = asyncio.Event()

    def end_streams(self) -> None:
        """Open streams answer what they have read, then end with the reason for which the door was closed."""
        self._streams_end.set()

    # --- the server ---

    async def ServerLive(self, request: pb.ServerLiveRequest, context: Any) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: Any) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self._door.execution.ready)

    async def ServerMetadata(self, request: pb.ServerMetadataRequest, context: Any) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(name=SERVER_NAME, version=self._server_version, extensions=EXTENSIONS)

    async def TraceSetting(self, request: pb.TraceSettingRequest, context: Any) -> pb.TraceSettingResponse:
        return server_settings.trace(request)

    async def LogSettings(self, request: pb.LogSettingsRequest, context: Any) -> pb.LogSettingsResponse:
        return server_settings.logging_now(request)

    # --- a model ---

    async def ModelReady(self, request: pb.ModelReadyRequest, context: Any) -> pb.ModelReadyResponse:
        ready = self._door.execution.ready and self._door.versions.ready(request.name, request.version)
        return pb.ModelReadyResponse(ready=ready)

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, context: Any) -> pb.ModelMetadataResponse:
        self._door.permit(request.name)
        with await self._door.versions.acquire(request.name, request.version) as lease:
            version = lease.version
            published = [status.version for status in self._door.versions.index() if status.model == version.key.model]
            return metadata.describe(version, self._door.signatures.of(version), published)

    async def ModelConfig(self, request: pb.ModelConfigRequest, context: Any) -> pb.ModelConfigResponse:
        self._door.permit(request.name)
        with await self._door.versions.acquire(request.name, request.version) as lease:
            version = lease.version
            sequences = self._door.versions.model_settings(request.name).sequence_batching and version.causal
            idle_seconds = self._door.sessions.idle_seconds(request.name) if sequences else None
            return model_config.describe(
                version, self._door.signatures.of(version), self._door.limits_of(request.name).rows, idle_seconds
            )

    async def ModelStatistics(self, request: pb.ModelStatisticsRequest, context: Any) -> pb.ModelStatisticsResponse:
        if request.name:
            self._door.permit(request.name)
        keys = statistics.live_versions(self._door.permitted_index(), request.name, request.version)
        return statistics.describe(keys, self._totals)

    # --- inference ---

    async def ModelInfer(self, request: pb.ModelInferRequest | DenseRequest, context: Any) -> pb.ModelInferResponse | bytes:
        if isinstance(request, DenseRequest):
            return await infer_dense(self._door, request, context.time_remaining())
        return await infer(self._door, request, context.time_remaining())

    async def ModelStreamInfer(
        self, requests: AsyncIterator[pb.ModelInferRequest], context: Any
    ) -> AsyncIterator[pb.ModelStreamInferResponse]:
        stream = InferenceStream(partial(infer, self._door), self._around, context.time_remaining, streaming_asker_of(context))
        execution, most = self._door.execution, self._door.limits.unanswered
        async with aclosing(
            answers(requests, stream.start, most, execution.at_door, execution.turnstile, self._streams_ended())
        ) as replies:
            async for reply in replies:
                yield reply

    async def _streams_ended(self) -> ServiceError:
        await self._streams_end.wait()
        return await self._door.execution.closed()

    # --- the repository ---

    async def RepositoryIndex(self, request: pb.RepositoryIndexRequest, context: Any) -> pb.RepositoryIndexResponse:
        return repository_control.index(request, self._door.permitted_index())

    async def RepositoryModelLoad(self, request: pb.RepositoryModelLoadRequest, context: Any) -> pb.RepositoryModelLoadResponse:
        return await repository_control.load(request, self._door.versions, self._publishing, self._named(context))

    async def RepositoryModelUnload(
        self, request: pb.RepositoryModelUnloadRequest, context: Any
    ) -> pb.RepositoryModelUnloadResponse:
        return await repository_control.unload(request, self._door.versions)

    # --- shared memory ---

    async def SystemSharedMemoryStatus(self, request: Any, context: Any) -> pb.SystemSharedMemoryStatusResponse:
        return pb.SystemSharedMemoryStatusResponse()

    async def SystemSharedMemoryRegister(self, request: pb.SystemSharedMemoryRegisterRequest, context: Any) -> NoReturn:
        shared_memory.refuse("system", request.name)

    async def SystemSharedMemoryUnregister(self, request: Any, context: Any) -> pb.SystemSharedMemoryUnregisterResponse:
        return pb.SystemSharedMemoryUnregisterResponse()

    async def CudaSharedMemoryStatus(self, request: Any, context: Any) -> pb.CudaSharedMemoryStatusResponse:
        return pb.CudaSharedMemoryStatusResponse()

    async def CudaSharedMemoryRegister(self, request: pb.CudaSharedMemoryRegisterRequest, context: Any) -> NoReturn:
        shared_memory.refuse("CUDA", request.name)

    async def CudaSharedMemoryUnregister(self, request: Any, context: Any) -> pb.CudaSharedMemoryUnregisterResponse:
        return pb.CudaSharedMemoryUnregisterResponse()
