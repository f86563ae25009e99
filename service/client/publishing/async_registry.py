"""What the client for asyncio does with the registry of a server. Knows no channel: a connection sends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import grpc

from cellserve.service.client.call import CallSettings
from cellserve.service.client.channel import Endpoint
from cellserve.service.client.errors import BadReply, FailedCall, mirrored
from cellserve.service.client.publishing.changes import Change, PublishedVersion, Verdict, change, published, verdict
from cellserve.service.client.publishing.publication import PUBLISH_TIMEOUT_SECONDS, Progress, Publication, received_of
from cellserve.service.client.registry import (
    ModelDescription,
    ModelVersion,
    Rollout,
    description,
    model_version,
    model_versions,
    rollout,
)
from cellserve.service.client.requests import Reference
from cellserve.service.client.retry import Attempts
from cellserve.service.client.tensors import Array, from_wire
from cellserve.service.errors import ServiceError, UnknownModel, UnknownVersion
from cellserve.service.pb import cellserve_pb2 as pb

Reply = TypeVar("Reply")


class Connection(Protocol):
    """What a client lends its registry."""

    @property
    def endpoint(self) -> Endpoint: ...

    @property
    def settings(self) -> CallSettings: ...

    @property
    def stub(self) -> Any: ...

    async def call(
        self,
        method: Callable[..., Awaitable[Reply]],
        request: object,
        attempts: Attempts,
        on_failure: Callable[[ServiceError], None] | None = None,
    ) -> Reply:
        """A reply, after as many attempts as it takes. on_failure: called with each error that another follows."""

    async def attempt(self, method: Callable[..., Awaitable[Reply]], request: object, attempts: Attempts) -> Reply:
        """One attempt. Raises ServiceError."""

    async def wait(self, attempts: Attempts, seconds: float, error: ServiceError) -> None:
        """Before the attempt after `error`. Raises it where no connection comes in time."""


class AsyncRegistry:
    """The part of AsyncClient that administers a server's models."""

    _connection: Connection

    async def models(self) -> list[str]:
        """As Client.models."""
        return sorted({each.model for each in await self.versions()})

    async def versions(self, model: str = "") -> list[ModelVersion]:
        """As Client.versions."""
        return model_versions(await self._ask("List", pb.ListRequest(model=model)))

    async def show(self, model: str) -> ModelDescription:
        """As Client.show."""
        reference = Reference.parse(model)
        return description(await self._ask("Show", pb.ShowRequest(model=reference.model, version=reference.version)))

    async def promote(self, model: str, version: int, alias: str = "stable", share: float = 1.0) -> ModelVersion:
        """As Client.promote."""
        request = pb.SetAliasRequest(model=model, version=version, alias=alias, share=share)
        return model_version((await self._ask("SetAlias", request)).status)

    async def promote_gradually(
        self, model: str, version: int, seconds: float, stop_if: str = "", alias: str = "stable"
    ) -> Rollout:
        """As Client.promote_gradually."""
        request = pb.SetAliasRequest(model=model, version=version, alias=alias, gradually_seconds=seconds, stop_if=stop_if)
        return rollout((await self._ask("SetAlias", request)).rollout)

    async def publish(
        self,
        model: str,
        folder: Path,
        *,
        alias: str = "",
        tags: Mapping[str, str] | None = None,
        publisher: str = "",
        publication_id: str = "",
        timeout_seconds: float = PUBLISH_TIMEOUT_SECONDS,
        progress: Progress | None = None,
    ) -> PublishedVersion:
        """As Client.publish."""
        publication = Publication.of(model, folder, alias=alias, tags=tags, publisher=publisher, publication_id=publication_id)
        settings = self._connection.settings
        attempts = settings.attempts_until(settings.until(timeout_seconds))
        while True:
            try:
                return published(await self._publish_once(publication, attempts, progress))
            except ServiceError as failure:
                error = failure
            if not publication.begins_anew_after(error):
                await self._connection.wait(attempts, attempts.wait_seconds_after(error), error)

    async def remove(self, model: str) -> None:
        """As Client.remove."""
        reference = Reference.parse(model)
        number = int(reference.version) if reference.version.isdecimal() else 0
        request = pb.DeleteRequest(model=reference.model, version=number, alias="" if number else reference.version)
        failed: list[ServiceError] = []
        try:
            await self._ask("Delete", request, failed.append)
        except (UnknownModel, UnknownVersion):
            if not failed:  # else an attempt whose answer was lost has removed it
                raise

    async def load(self, model: str) -> list[ModelVersion]:
        """As Client.load."""
        return [model_version(status) for status in (await self._ask("Load", pb.LoadRequest(model=model))).versions]

    async def unload(self, model: str) -> None:
        """As Client.unload."""
        await self._ask("Unload", pb.UnloadRequest(model=model))

    async def watch(self, model: str = "", resume_token: str = "") -> AsyncIterator[Change]:
        """As Client.watch."""
        while True:
            attempts = self._connection.settings.attempts()
            call = self._stub.Watch(
                pb.WatchRequest(model=model, resume_token=resume_token),
                metadata=self._connection.endpoint.metadata,
                wait_for_ready=False,
            )
            try:
                async for reply in call:
                    resume_token = reply.resume_token
                    told = change(reply)
                    if told is not None:
                        yield told
            except grpc.RpcError as failure:
                error = mirrored(cast(FailedCall, failure), self._connection.endpoint.target)
            else:
                return
            finally:
                call.cancel()
            await self._connection.wait(attempts, attempts.wait_seconds_after(error), error)

    async def verify(self, model: str = "") -> AsyncIterator[Verdict]:
        """As Client.verify."""
        request = pb.VerifyRequest()
        if model:
            reference = Reference.parse(model)
            number = int(reference.version) if reference.version.isdecimal() else 0
            request = pb.VerifyRequest(model=reference.model, version=number, alias="" if number else reference.version)
        call = self._stub.Verify(request, metadata=self._connection.endpoint.metadata)
        try:
            async for reply in call:
                yield verdict(reply)
        except grpc.RpcError as failure:
            raise mirrored(cast(FailedCall, failure), self._connection.endpoint.target) from None
        finally:
            call.cancel()

    async def recorded(self, model: str) -> AsyncIterator[tuple[Array, ...]]:
        """As Client.recorded."""
        call = self._stub.Recorded(pb.RecordedRequest(model=model), metadata=self._connection.endpoint.metadata)
        try:
            async for reply in call:
                yield tuple(from_wire(tensor) for tensor in reply.inputs)
        except grpc.RpcError as failure:
            raise mirrored(cast(FailedCall, failure), self._connection.endpoint.target) from None
        finally:
            call.cancel()

    async def manifest(self, model: str) -> bytes:
        """As Client.manifest."""
        reference = Reference.parse(model)
        request = pb.ShowRequest(model=reference.model, version=reference.version, manifest=True)
        return cast(bytes, (await self._ask("Show", request)).manifest)

    async def _publish_once(self, publication: Publication, attempts: Attempts, progress: Progress | None) -> pb.PublishReply:
        """What the server holds is asked first, so that nothing is sent twice."""
        connection, method = self._connection, self._stub.Publish
        reply: pb.PublishReply = await connection.attempt(method, publication.question(), attempts)
        if not reply.complete:
            reply = await connection.attempt(method, publication.requests(received_of(reply), progress), attempts)
        if not reply.complete:
            raise BadReply("the server has taken all parts of the publication, and says that some are missing")
        return reply

    async def _ask(self, method: str, request: object, on_failure: Callable[[ServiceError], None] | None = None) -> Any:
        settings = self._connection.settings
        return await self._connection.call(getattr(self._stub, method), request, settings.attempts(), on_failure)

    @property
    def _stub(self) -> Any:
        return self._connection.stub
