"""cellserve.v1.Registry: what models there are, how versions come and go, and which an alias means. Messages in, messages out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Final

from cellserve.service.api.call_context import Caller
from cellserve.service.api.calls import administers
from cellserve.service.api.door import Publishing, Versions
from cellserve.service.api.typed import publishing
from cellserve.service.api.typed.change_log import ChangeLog
from cellserve.service.api.typed.describing import show_reply, status_message, told_message
from cellserve.service.errors import Draining, InvalidInput, UnknownModel
from cellserve.service.pb import cellserve_pb2 as pb
from cellserve.service.pb.cellserve_pb2_grpc import RegistryServicer
from cellserve.service.registry.publishing.publishing import Unfinished
from cellserve.service.registry.status import VersionStatus

_LONGEST_NAME: Final = 128


class ModelRegistryServicer(RegistryServicer):
    """named: who makes a call, for the record; given the call, and what the caller calls itself."""

    def __init__(self, versions: Versions, made: Publishing, changes: ChangeLog, named: Callable[[Caller, str], str]) -> None:
        self._versions = versions
        self._publishing = made
        self._changes = changes
        self._named = named

    async def List(self, request: pb.ListRequest, context: Any) -> pb.ListReply:
        return pb.ListReply(versions=[status_message(status) for status in self._listed(request.model)])

    async def Show(self, request: pb.ShowRequest, context: Any) -> pb.ShowReply:
        return show_reply(await self._versions.describe(request.model, request.version), manifest=request.manifest)

    async def SetAlias(self, request: pb.SetAliasRequest, context: Any) -> pb.SetAliasReply:
        share = request.share or 1.0
        part = "" if share == 1 else f", a share of {share:g}"
        administers(f"{request.model[:_LONGEST_NAME]}@{request.alias[:_LONGEST_NAME]} to {request.version}{part}")
        by = self._named(context, "")
        previous = await self._versions.set_alias(request.model, request.alias, request.version, by, share)
        description = await self._versions.describe(request.model, str(request.version))
        split = description.splits.get(request.alias)
        return pb.SetAliasReply(status=status_message(description.status), previous_version=previous or 0, split=split)

    async def Publish(self, requests: AsyncIterator[pb.PublishRequest], context: Any) -> pb.PublishReply:
        begin = await publishing.first(requests)
        administers(begin.model[:_LONGEST_NAME])
        by = self._named(context, begin.publisher)
        made = await self._publishing.publish(publishing.declaration(begin, by), publishing.parts(requests))
        if isinstance(made, Unfinished):
            return publishing.unfinished_reply(made)
        model, version = made.key
        if begin.alias:
            await self._versions.set_alias(model, begin.alias, version, by)
        description = await self._versions.describe(model, str(version))
        return pb.PublishReply(complete=True, status=status_message(description.status), repeated=made.repeated, notes=made.notes)

    async def Delete(self, request: pb.DeleteRequest, context: Any) -> pb.DeleteReply:
        reference = publishing.reference(request.model, request.version, request.alias)
        administers(str(reference))
        await self._versions.remove(reference, self._named(context, ""))
        return pb.DeleteReply()

    async def Load(self, request: pb.LoadRequest, context: Any) -> pb.LoadReply:
        administers(request.model[:_LONGEST_NAME])
        await self._versions.load(request.model)
        return pb.LoadReply(versions=[status_message(status) for status in self._listed(request.model)])

    async def Unload(self, request: pb.UnloadRequest, context: Any) -> pb.UnloadReply:
        administers(request.model[:_LONGEST_NAME])
        await self._versions.unload(request.model)
        return pb.UnloadReply()

    async def Watch(self, request: pb.WatchRequest, context: Any) -> AsyncIterator[pb.WatchReply]:
        async with aclosing(self._changes.watch(request.model, request.resume_token)) as watched:  # type: ignore[type-var]
            async for told in watched:
                yield told_message(told)
        raise Draining("the server is stopping; watch again, with the last resume_token")

    async def Verify(self, request: pb.VerifyRequest, context: Any) -> AsyncIterator[pb.VerifyReply]:
        if not request.model and (request.version or request.alias):
            raise InvalidInput("a version or an alias is named, and no model", field="model")
        reference = publishing.reference(request.model, request.version, request.alias) if request.model else None
        async with aclosing(self._publishing.verify(reference)) as verdicts:  # type: ignore[type-var]
            async for line in verdicts:
                yield publishing.verdict(line)

    def _listed(self, model: str) -> list[VersionStatus]:
        statuses = self._versions.index()
        if not model:
            return statuses
        of_model = [status for status in statuses if status.model == model]
        if not of_model:
            raise UnknownModel(f"there is no model {model[:_LONGEST_NAME]!r}", field="model")
        return of_model
