"""The states a version goes through, and what is told about one, and about an alias. Knows no disk and no engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from cellserve.service.engine.facts import VersionKey


class VersionState(StrEnum):
    """UNKNOWN → LOADING → READY → UNLOADING → UNLOADED; LOADING → FAILED. A version is loaded again from UNKNOWN or UNLOADED."""

    UNKNOWN = "UNKNOWN"  # published, nothing tried yet
    LOADING = "LOADING"
    READY = "READY"
    UNLOADING = "UNLOADING"  # told before it goes; its last requests are finishing
    FAILED = "FAILED"  # tried, with a reason; tried again only when the disk changes or on request
    UNLOADED = "UNLOADED"


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """One version at one moment. `aliases` are those of the repository that name it. `reason`: why it is FAILED, or what else is
    wrong: with the aliases of its model, or with the version that it stands in for. memory_bytes: that it takes; 0 while it is
    not loaded.
    """

    model: str
    version: int
    state: VersionState
    reason: str = ""
    aliases: tuple[str, ...] = ()
    memory_bytes: int = field(default=0, compare=False)

    @property
    def key(self) -> VersionKey:
        return VersionKey(self.model, self.version)


@dataclass(frozen=True, slots=True)
class AliasStatus:
    """What an alias means at one moment; "" is what a request without a version means. `version`: that the repository names.

    answering: the version that answers; None: none does. reason: why it is another one than was named, where that one cannot be
    served; empty while it is only being loaded. split: the shares of versions, where it is split; `version` has the largest.
    """

    model: str
    alias: str
    version: int
    answering: int | None
    reason: str = ""
    split: Mapping[int, float] = field(default_factory=dict)

    @property
    def fallen_back(self) -> bool:
        return bool(self.reason) and self.answering is not None

    @property
    def answered_by(self) -> VersionKey | None:
        return None if self.answering is None else VersionKey(self.model, self.answering)

    @property
    def name(self) -> str:
        return f"{self.model}@{self.alias}" if self.alias else self.model
