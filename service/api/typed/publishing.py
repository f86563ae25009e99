"""Publications in the words of cellserve.v1. Messages in, messages out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from cellserve.service.errors import InvalidInput
from cellserve.service.pb import cellserve_pb2 as pb
from cellserve.service.registry.manifest import ModelRef, check_alias_name, check_model_name
from cellserve.service.registry.publishing.declaration import Declaration
from cellserve.service.registry.publishing.publishing import Part, Unfinished


def declaration(begin: pb.PublishBegin, by: str) -> Declaration:
    """Raises InvalidInput."""
    if begin.alias:
        check_alias_name(begin.alias)
    files = [(file.name, file.bytes, file.digest) for file in begin.files]
    return Declaration.checked(begin.model, begin.publication_id, files, dict(begin.tags), by)


async def first(requests: AsyncIterator[pb.PublishRequest]) -> pb.PublishBegin:
    """Raises InvalidInput: another message came first, or none."""
    async for request in requests:
        if request.WhichOneof("part") == "begin":
            return request.begin
        break
    raise InvalidInput("a publication begins with a PublishBegin", field="begin")


async def parts(requests: AsyncIterator[pb.PublishRequest]) -> AsyncIterator[Part]:
    """What follows the first message. Raises InvalidInput."""
    async for request in requests:
        if request.WhichOneof("part") != "content":
            raise InvalidInput("after its PublishBegin a publication is parts of files alone", field="part")
        content = request.content
        yield Part(content.name, content.offset, content.data)


def unfinished_reply(unfinished: Unfinished) -> pb.PublishReply:
    return pb.PublishReply(
        received=[pb.FileReceived(name=name, bytes=held) for name, held in unfinished.received.items()],
    )


def reference(model: str, version: int, alias: str) -> ModelRef:
    """Raises InvalidInput."""
    if version and alias:
        raise InvalidInput("a version and an alias are named; name one of them", field="alias")
    if version < 0:
        raise InvalidInput("versions are numbers from 1 on", field="version")
    check_model_name(model)
    if alias:
        return ModelRef(model, alias=check_alias_name(alias))
    return ModelRef(model, version=version or None)


def verdict(line: Mapping[str, Any]) -> pb.VerifyReply:
    return pb.VerifyReply(
        model=line["model"],
        version=line["version"] or 0,
        aliases=line["aliases"],
        problem=line["problem"],
        withdrawn=line["withdrawn"],
    )
