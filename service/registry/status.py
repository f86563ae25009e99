"""The states a version goes through, and what is told about one. Knows no disk and no engine."""

from __future__ import annotations

from dataclasses import dataclass
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
    """One version at one moment. `aliases` are those of the repository that name it."""

    model: str
    version: int
    state: VersionState
    reason: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def key(self) -> VersionKey:
        return VersionKey(self.model, self.version)
