"""cellserve.v1.Registry: what models there are, how versions come and go, and which an alias means. Messages in, messages out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Final

from cellserve.service.api.aside.samples import Samples
from cellserve.service.api.call_context import Caller
from cellserve.service.api.calls import administers
from cellserve.service.api.door import Publishing, Versions, Walking
from cellserve.service.api.typed import messages, publishing
from cellserve.service.api.typed.change_log import ChangeLog
from cellserve.service.api.typed.describing import rollout_message, show_reply, status_message, told_message
from cellserve.service.errors import Draining, InvalidInput, UnknownModel
from cellserve.service.pb import cellserve_pb2 as pb
from cellserve.service.pb.cellserve_pb2_grpc import RegistryServicer
from cellserve.service.registry.publishing.publishing import Unfinished
from cellserve.service.registry.status import VersionStatus

_LONGEST_NAME: Final = 128


class ModelRegistryServicer(RegistryServicer):
    """named: who makes a call, for the record; given the call, and what the caller calls itself."""

    def __init__(
        self,
        versions: Versions,
        made: Publishing,
        walking: Walking,
        samples: Samples,
        changes: ChangeLog,
        named: Callable[[Caller, str], str],
    ) -> None:
        self._versions = versions
        self._publishing = made
        self._walking = walking
        self._samples = samples
        self._changes = changes
        self._named = named

    async def List(self, request: pb.ListRequest, context: Any) -> pb.ListReply:
        return pb.ListReply(versions=[status_message(status) for status in self._listed(request.model)])

    async def Show(self, request: pb.ShowRequest, context: Any) -> pb.ShowReply:
        described = await self._versions.describe(request.model, request.version)
        return show_reply(described, await self._walking.of(request.model), manifest=request.manifest)

    async def SetAlias(self, request: pb.SetAliasRequest, context: Any) -> pb.SetAliasReply:
        model, alias, version, share = request.model, request.alias, request.version, request.share or 1.0
        walks = request.gradually_seconds != 0 or bool(request.stop_if)
        part = ", gradually" if walks else "" if share == 1 else f", a share of {share:g}"
        administers(f"{model[:_LONGEST_NAME]}@{alias[:_LONGEST_NAME]} to {version}{part}")
        by, rollout = self._named(context, ""), None
        if walks:
            if share != 1:
                raise InvalidInput("a share is given, and the alias is to walk by itself: give one of them", field="share")
            rollout = await self._walking.begin(model, alias, version, request.gradually_seconds, request.stop_if, by)
            previous: int | None = rollout.before
        else:
            previous = await self._versions.set_alias(model, alias, version, by, share)
        description = await self._versions.describe(model, str(version))
        return pb.SetAliasReply(
            status=status_message(description.status),
            previous_version=previous or 0,
            split=description.splits.get(alias),
            rollout=None if rollout is None else rollout_message(rollout),
        )

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

    async def Recorded(self, request: pb.RecordedRequest, context: Any) -> AsyncIterator[pb.RecordedReply]:
        administers(request.model[:_LONGEST_NAME])
        if not request.model or not self._listed(request.model):
            raise InvalidInput("of which model? Name it", field="model")
        sample = self._samples.of(request.model)
        for row in sample.rows:
            yield pb.RecordedReply(inputs=[messages.tensor(array) for array in row], offered=sample.offered)

    def _listed(self, model: str) -> list[VersionStatus]:
        statuses = self._versions.index()
        if not model:
            return statuses
        of_model = [status for status in statuses if status.model == model]
        if not of_model:
            raise UnknownModel(f"there is no model {model[:_LONGEST_NAME]!r}", field="model")
        return of_model
