"""Gives each version that becomes READY its choice of implementation: what the settings name, and under `auto` what was measured
for it, from the cache or by measuring. Settings that change while it runs are followed.

Serving waits for none of it: until then the network's own default answers. One version at a time is measured, in a thread.
Knows no networks and no wire.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from cellserve.models.measuring.traffic import TRAFFIC_KINDS, TrafficKind
from cellserve.service.config import Settings
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
    """settings_for: a model as it is now. on_choice: told, on the event loop, what a version chooses by from now on."""

    def __init__(
        self,
        repository: Repository,
        engine: Chooser,
        cache: CalibrationCache,
        settings_for: Callable[[str], Settings],
        on_choice: Callable[[VersionKey, Choices], None],
    ) -> None:
        self._repository = repository
        self._engine = engine
        self._cache = cache
        self._settings_for = settings_for
        self._on_choice = on_choice
        self._one_at_a_time = asyncio.Lock()
        self._tasks: dict[VersionKey, asyncio.Task[None]] = {}
        self._wished: dict[VersionKey, str] = {}

    def on_change(self, status: VersionStatus) -> None:
        """A subscriber of the catalog's: starts when a version has become READY, forgets it when it is gone.

        What the settings name is what the version was loaded with.
        """
        key = VersionKey(status.model, status.version)
        if status.state is VersionState.READY and key not in self._wished:
            self._wished[key] = self._settings_for(key.model).implementation
            if self._wished[key] == "auto":
                self._begin(key, "auto")
        elif status.state in (VersionState.UNLOADED, VersionState.FAILED):
            self._tasks.pop(key, None)
            self._wished.pop(key, None)

    def follow(self) -> None:
        """The settings of models may have changed."""
        for key, wished in list(self._wished.items()):
            named = self._settings_for(key.model).implementation
            if named != wished:
                self._wished[key] = named
                self._begin(key, named)

    async def settled(self) -> None:
        """Returns when every version that is READY now has its choice."""
        await asyncio.gather(*self._tasks.values())

    async def stop(self) -> None:
        """Starts no more; what is being measured ends by itself."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, key: VersionKey, wished: str) -> None:
        self._tasks[key] = asyncio.get_running_loop().create_task(self._settle(key, wished))

    async def _settle(self, key: VersionKey, wished: str) -> None:
        try:
            async with self._one_at_a_time:
                if wished == "auto":
                    choices = await asyncio.to_thread(self._measured, key)
                else:
                    choices = dict.fromkeys(TRAFFIC_KINDS, wished)
                    await asyncio.to_thread(self._engine.choose, key, choices)
        except ServiceError as error:
            log.log(logging.DEBUG if wished == "auto" else logging.WARNING, "%s goes on as it is: %s", key, error)
        except Exception:
            log.exception("%s could not be calibrated; its own default answers", key)
        else:
            log.info("%s chooses by traffic: %s", key, ", ".join(f"{kind}: {label}" for kind, label in choices.items()))
            self._on_choice(key, choices)

    def _measured(self, key: VersionKey) -> Choices:
        """What is kept is used if the engine takes it; it may name an implementation that is no longer offered."""
        from cellserve.models.devices import describe_device, resolve_device

        manifest = self._repository.manifest(key.model, key.version)
        device = describe_device(resolve_device(self._settings_for(key.model).device))
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
