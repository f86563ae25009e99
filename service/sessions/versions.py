"""The part of the catalog that live sequences use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cellserve.service.engine.facts import VersionKey
from cellserve.service.registry.lease import Lease
from cellserve.service.registry.model_settings import ModelSettings


class Versions(Protocol):
    async def acquire(self, model: str, version: str = "", split_key: Callable[[], str] = ...) -> Lease: ...

    async def acquire_pinned(self, model: str, version: int) -> Lease:
        """As `acquire`, for a sequence that is on this version: it does not make the version one that is wanted."""

    def is_wanted(self, key: VersionKey) -> bool:
        """Whether the version is to stay, whoever uses it."""

    def model_settings(self, model: str) -> ModelSettings: ...
