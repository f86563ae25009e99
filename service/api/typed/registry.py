"""cellserve.v1.Registry: what models there are, and which version an alias means. Messages in, messages out."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from cellserve.service.api.calls import administers
from cellserve.service.api.door import Versions
from cellserve.service.api.typed.describing import show_reply, status_message
from cellserve.service.errors import UnknownModel
from cellserve.service.pb import cellserve_pb2 as pb
from cellserve.service.pb.cellserve_pb2_grpc import RegistryServicer


class ModelRegistryServicer(RegistryServicer):
    def __init__(self, versions: Versions) -> None:
        self._versions = versions

    async def List(self, request: pb.ListRequest, context: Any) -> pb.ListReply:
        statuses = self._versions.index()
        if request.model:
            statuses = [status for status in statuses if status.model == request.model]
            if not statuses:
                raise UnknownModel(f"there is no model {request.model[:128]!r}", field="model")
        return pb.ListReply(versions=[status_message(status) for status in statuses])

    async def Show(self, request: pb.ShowRequest, context: Any) -> pb.ShowReply:
        return show_reply(await self._versions.describe(request.model, request.version))

    async def SetAlias(self, request: pb.SetAliasRequest, context: Any) -> pb.SetAliasReply:
        administers(f"{request.model[:128]}@{request.alias[:128]} to {request.version}")
        by = f"a call from {unquote(context.peer())}"
        previous = await self._versions.set_alias(request.model, request.alias, request.version, by)
        description = await self._versions.describe(request.model, request.alias)
        return pb.SetAliasReply(status=status_message(description.status), previous_version=previous or 0)
