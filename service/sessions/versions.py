"""The part of the catalog that live sequences use."""

from __future__ import annotations

from typing import Protocol

from cellserve.service.registry.lease import Lease
from cellserve.service.registry.model_settings import ModelSettings


class Versions(Protocol):
    async def acquire(self, model: str, version: str = "") -> Lease: ...

    def model_settings(self, model: str) -> ModelSettings: ...
