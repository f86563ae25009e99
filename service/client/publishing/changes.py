"""What a server tells whoever watches it, and what it proves of its versions, as plain values. Pure: messages in, values out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cellserve.service.client.registry import ModelVersion, model_version
from cellserve.service.pb import cellserve_pb2 as pb


@dataclass(frozen=True, slots=True)
class AliasMeaning:
    """answering: the version that answers; None: none does. reason: why it is another one than was named. split: the shares of
    versions, where it is split; `version` has the largest.
    """

    version: int
    answering: int | None
    reason: str
    split: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """One message to a watcher. resume_token: to go on after it.

    kind: "version" and "alias": as it is now; "version_removed", "alias_removed"; "begun": what was known is void, and what is
    follows; "current": all that is has been told.
    """

    kind: Literal["version", "version_removed", "alias", "alias_removed", "begun", "current"]
    resume_token: str
    model: str = ""
    number: int | None = None
    alias: str = ""
    version: ModelVersion | None = None
    meaning: AliasMeaning | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """On a version, or (version None) on what lies beside a model's. problem: empty if it could be served."""

    model: str
    version: int | None
    aliases: tuple[str, ...]
    problem: str
    withdrawn: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PublishedVersion:
    """repeated: the same had been published before. notes: what the import assumed or ignored."""

    version: ModelVersion
    repeated: bool
    notes: tuple[str, ...]


def change(reply: pb.WatchReply) -> Change | None:
    """None: of a kind that this client does not know."""
    token = reply.resume_token
    match reply.WhichOneof("change"):
        case "version":
            version = model_version(reply.version)
            return Change("version", token, version.model, version.version, version=version)
        case "removed":
            return Change("version_removed", token, reply.removed.model, reply.removed.version)
        case "alias":
            alias = reply.alias
            meaning = AliasMeaning(alias.version, alias.answering or None, alias.reason, dict(alias.split))
            return Change("alias", token, alias.model, alias=alias.alias, meaning=meaning)
        case "alias_removed":
            return Change("alias_removed", token, reply.alias_removed.model, alias=reply.alias_removed.alias)
        case "begun":
            return Change("begun", token)
        case "current":
            return Change("current", token)
        case _:
            return None


def verdict(reply: pb.VerifyReply) -> Verdict:
    return Verdict(reply.model, reply.version or None, tuple(reply.aliases), reply.problem, dict(reply.withdrawn))


def published(reply: pb.PublishReply) -> PublishedVersion:
    return PublishedVersion(model_version(reply.status), reply.repeated, tuple(reply.notes))
