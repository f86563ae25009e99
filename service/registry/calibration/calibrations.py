"""Gives each version that becomes READY the choice of implementation that was measured for it: from the cache, or by measuring.

Serving waits for none of it: until then the network's own default answers. One version at a time is measured, in a thread.
Knows no networks and no wire.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from cellserve.models.measuring.traffic import TrafficKind
from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import ServiceError
from cellserve.service.registry.calibration.cache import CalibrationCache
from cellserve.service.registry.repository.repository import Repository
from cellserve.service.registry.status import VersionState, VersionStatus

if TYPE_CHECKING:
    from cellserve.models.measuring.calibration import Calibration

log = logging.getLogger(__name__)

Choices = Mapping[TrafficKind, str]


class Chooser(Protocol):
    """The part of the engine that measures and chooses."""

    def measure(self, key: VersionKey) -> Calibration: ...

    def choose(self, key: VersionKey, by_kind: Choices) -> None: ...


class Calibrations:
    """on_choice: told, on the event loop, what a version chooses by from now on."""

    def __init__(
        self,
        repository: Repository,
        engine: Chooser,
        cache: CalibrationCache,
        device: str,  # of the setting
        on_choice: Callable[[VersionKey, Choices], None],
    ) -> None:
        self._repository = repository
        self._engine = engine
        self._cache = cache
        self._device = device
        self._on_choice = on_choice
        self._one_at_a_time = asyncio.Lock()
        self._tasks: dict[VersionKey, asyncio.Task[None]] = {}

    def on_change(self, status: VersionStatus) -> None:
        """A subscriber of the catalog's: starts when a version has become READY, forgets it when it is gone."""
        key = VersionKey(status.model, status.version)
        if status.state is VersionState.READY and key not in self._tasks:
            self._tasks[key] = asyncio.get_running_loop().create_task(self._settle(key))
        elif status.state in (VersionState.UNLOADED, VersionState.FAILED):
            self._tasks.pop(key, None)

    async def settled(self) -> None:
        """Returns when every version that is READY now has its choice."""
        await asyncio.gather(*self._tasks.values())

    async def stop(self) -> None:
        """Starts no more; what is being measured ends by itself."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _settle(self, key: VersionKey) -> None:
        try:
            async with self._one_at_a_time:
                choices = await asyncio.to_thread(self._measured, key)
        except ServiceError as error:
            log.debug("%s is not calibrated: %s", key, error)
        except Exception:
            log.exception("%s could not be calibrated; its own default answers", key)
        else:
            log.info("%s chooses by traffic: %s", key, ", ".join(f"{kind}: {label}" for kind, label in choices.items()))
            self._on_choice(key, choices)

    def _measured(self, key: VersionKey) -> Choices:
        """What is kept is used if the engine takes it; it may name an implementation that is no longer offered."""
        from cellserve.models.devices import describe_device, resolve_device

        manifest = self._repository.manifest(key.model, key.version)
        device = describe_device(resolve_device(self._device))
        kept = self._cache.read(manifest, device)
        if kept is not None:
            try:
                self._engine.choose(key, kept.choices)
                return kept.choices
            except ServiceError as error:
                log.debug("the calibration that was kept of %s is not used: %s", key, error)
        made = self._engine.measure(key)
        self._engine.choose(key, made.choices)
        self._cache.write(manifest, device, made.choices, made.seconds)
        return made.choices
