"""What the client for threads does with the registry of a server. Knows no channel: a connection sends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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

    def call(
        self,
        method: Callable[..., Reply],
        request: object,
        attempts: Attempts,
        on_failure: Callable[[ServiceError], None] | None = None,
    ) -> Reply:
        """A reply, after as many attempts as it takes. on_failure: called with each error that another follows."""

    def attempt(self, method: Callable[..., Reply], request: object, attempts: Attempts) -> Reply:
        """One attempt. Raises ServiceError."""

    def wait(self, attempts: Attempts, seconds: float, error: ServiceError) -> None:
        """Before the attempt after `error`. Raises it where no connection comes in time."""


class SyncRegistry:
    """The part of Client that administers a server's models."""

    _connection: Connection

    def models(self) -> list[str]:
        """Names of the models that the server has, sorted. Raises ServiceError."""
        return sorted({each.model for each in self.versions()})

    def versions(self, model: str = "") -> list[ModelVersion]:
        """Every published version of `model`, or of all models. Raises ServiceError."""
        return model_versions(self._ask("List", pb.ListRequest(model=model)))

    def show(self, model: str) -> ModelDescription:
        """Everything about the version that "name", "name/3" or "name@alias" means. Raises ServiceError."""
        reference = Reference.parse(model)
        return description(self._ask("Show", pb.ShowRequest(model=reference.model, version=reference.version)))

    def promote(self, model: str, version: int, alias: str = "stable", share: float = 1.0) -> ModelVersion:
        """Points an alias at a version; returns once it answers. No request is interrupted. Raises ServiceError.

        share: of the requests to the alias, between 0 and 1; the version that it names keeps the rest. 1: all of them.
        """
        request = pb.SetAliasRequest(model=model, version=version, alias=alias, share=share)
        return model_version((self._ask("SetAlias", request)).status)

    def promote_gradually(self, model: str, version: int, seconds: float, stop_if: str = "", alias: str = "stable") -> Rollout:
        """Walks an alias to a version by itself, 1% of its requests at first; returns with the first step. Raises ServiceError.

        seconds: that the walk takes. stop_if: bounds, such as "errors > 1%, p99 > 2x": if one is broken, the server goes back.
        What becomes of it: `show(model).rollouts`.
        """
        request = pb.SetAliasRequest(model=model, version=version, alias=alias, gradually_seconds=seconds, stop_if=stop_if)
        return rollout((self._ask("SetAlias", request)).rollout)

    def publish(
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
        """The next version of `model`, of the files in a folder; returns once the server has checked it and made it.

        folder: of a published version, or as an importer leaves one. alias: to point at it then. publisher: what to write down
        beside the token's owner and the address. publication_id: by default that of the content, so that the same published again
        is the version that it has become, and what was broken off goes on. progress: called with bytes sent and bytes in all.

        Raises ServiceError (VersionRefused: the server's gate), OSError.
        """
        publication = Publication.of(model, folder, alias=alias, tags=tags, publisher=publisher, publication_id=publication_id)
        settings = self._connection.settings
        attempts = settings.attempts_until(settings.until(timeout_seconds))
        while True:
            try:
                return published(self._publish_once(publication, attempts, progress))
            except ServiceError as failure:
                error = failure
            if not publication.begins_anew_after(error):
                self._connection.wait(attempts, attempts.wait_seconds_after(error), error)

    def remove(self, model: str) -> None:
        """Removes "name/3", "name@alias", or "name" with all of its versions; what runs on it finishes. Raises ServiceError."""
        reference = Reference.parse(model)
        number = int(reference.version) if reference.version.isdecimal() else 0
        request = pb.DeleteRequest(model=reference.model, version=number, alias="" if number else reference.version)
        failed: list[ServiceError] = []
        try:
            self._ask("Delete", request, failed.append)
        except (UnknownModel, UnknownVersion):
            if not failed:  # else an attempt whose answer was lost has removed it
                raise

    def load(self, model: str) -> list[ModelVersion]:
        """Ends an unload and tries failed versions again; returns when all that is wanted is READY. Raises ServiceError."""
        return [model_version(status) for status in (self._ask("Load", pb.LoadRequest(model=model))).versions]

    def unload(self, model: str) -> None:
        """Takes a model out of service until `load` or a restart of the server. Raises ServiceError."""
        self._ask("Unload", pb.UnloadRequest(model=model))

    def watch(self, model: str = "", resume_token: str = "") -> Iterator[Change]:
        """What is, then what changes, as it changes; for ever, across restarts of the server. Raises ServiceError.

        resume_token: of the last change seen, to be told only what came after it.
        """
        while True:
            attempts = self._connection.settings.attempts()
            call = self._stub.Watch(
                pb.WatchRequest(model=model, resume_token=resume_token),
                metadata=self._connection.endpoint.metadata,
                wait_for_ready=False,
            )
            try:
                for reply in call:
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
            self._connection.wait(attempts, attempts.wait_seconds_after(error), error)

    def verify(self, model: str = "") -> Iterator[Verdict]:
        """Whether versions could be served: "name/3", "name@alias", "name", or all; each as it is proved. Raises ServiceError."""
        request = pb.VerifyRequest()
        if model:
            reference = Reference.parse(model)
            number = int(reference.version) if reference.version.isdecimal() else 0
            request = pb.VerifyRequest(model=reference.model, version=number, alias="" if number else reference.version)
        call = self._stub.Verify(request, metadata=self._connection.endpoint.metadata)
        try:
            for reply in call:
                yield verdict(reply)
        except grpc.RpcError as failure:
            raise mirrored(cast(FailedCall, failure), self._connection.endpoint.target) from None
        finally:
            call.cancel()

    def recorded(self, model: str) -> Iterator[tuple[Array, ...]]:
        """The inputs of real requests that the server has kept of a model (`record:` in model.yaml), those of one row at a time.

        Each is a sequence [T, F], ids [T] or a vector [width], for each input of the model. Raises ServiceError.
        """
        call = self._stub.Recorded(pb.RecordedRequest(model=model), metadata=self._connection.endpoint.metadata)
        try:
            for reply in call:
                yield tuple(from_wire(tensor) for tensor in reply.inputs)
        except grpc.RpcError as failure:
            raise mirrored(cast(FailedCall, failure), self._connection.endpoint.target) from None
        finally:
            call.cancel()

    def manifest(self, model: str) -> bytes:
        """manifest.json of the version that is meant, as it was published. Raises ServiceError."""
        reference = Reference.parse(model)
        request = pb.ShowRequest(model=reference.model, version=reference.version, manifest=True)
        return cast(bytes, (self._ask("Show", request)).manifest)

    def _publish_once(self, publication: Publication, attempts: Attempts, progress: Progress | None) -> pb.PublishReply:
        """What the server holds is asked first, so that nothing is sent twice."""
        connection, method = self._connection, self._stub.Publish
        reply: pb.PublishReply = connection.attempt(method, publication.question(), attempts)
        if not reply.complete:
            reply = connection.attempt(method, publication.requests(received_of(reply), progress), attempts)
        if not reply.complete:
            raise BadReply("the server has taken all parts of the publication, and says that some are missing")
        return reply

    def _ask(self, method: str, request: object, on_failure: Callable[[ServiceError], None] | None = None) -> Any:
        settings = self._connection.settings
        return self._connection.call(getattr(self._stub, method), request, settings.attempts(), on_failure)

    @property
    def _stub(self) -> Any:
        return self._connection.stub
