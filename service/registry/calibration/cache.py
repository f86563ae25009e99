"""Measured choices of implementation kept on disk, one small JSON file for each network, device and machine.

A file holds all that its measurement depended on and is believed only where that is still so. A folder that cannot be read or
written costs a measurement at each load, nothing else. Knows no networks.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from cellserve.models.measuring.traffic import TrafficKind
from cellserve.service.registry.manifest import Manifest

log = logging.getLogger(__name__)


class Measured(BaseModel):
    """`depends_on`: all facts by name. `seconds`: per row and time step, by kind of traffic and label, as far as measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    depends_on: Mapping[str, str]
    choices: Mapping[TrafficKind, str]
    seconds: Mapping[TrafficKind, Mapping[str, float]]

    @property
    def device(self) -> str:
        return self.depends_on.get("device", "")


class CalibrationCache:
    """`machine`: the facts of this one (machine.identity)."""

    def __init__(self, folder: Path, machine: Mapping[str, str]) -> None:
        self._given_folder = folder
        self._machine = machine
        self._told = False  # that nothing can be kept

    def read(self, manifest: Manifest, device: str) -> Measured | None:
        """None where nothing was measured under just these circumstances."""
        depends_on = self._facts(manifest, device)
        try:
            measured = self._parsed(self._path(depends_on))
        except RuntimeError:
            return None
        return measured if measured is not None and measured.depends_on == depends_on else None

    def on_any_device(self, manifest: Manifest) -> list[Measured]:
        """All that was measured of it on this machine with these libraries, by device."""
        try:
            paths = sorted(self._given_folder.expanduser().glob("*.json"))
        except (OSError, RuntimeError):
            return []
        found = [measured for path in paths if (measured := self._parsed(path)) is not None]
        mine = [one for one in found if one.depends_on == self._facts(manifest, one.device)]
        return sorted(mine, key=lambda one: one.device)

    def write(
        self,
        manifest: Manifest,
        device: str,
        choices: Mapping[TrafficKind, str],
        seconds: Mapping[TrafficKind, Mapping[str, float]],
    ) -> None:
        """Whole or not at all."""
        depends_on = self._facts(manifest, device)
        measured = Measured(depends_on=depends_on, choices=choices, seconds=seconds)
        try:
            path = self._path(depends_on)
            path.parent.mkdir(parents=True, exist_ok=True)
            staged = path.with_suffix(f".{os.getpid()}")
            staged.write_text(measured.model_dump_json(indent=1))
            staged.replace(path)
        except (OSError, RuntimeError) as error:
            level = logging.DEBUG if self._told else logging.WARNING
            self._told = True
            log.log(level, "the calibration of %s is not kept, and is measured again at the next start: %s", manifest.key, error)

    def _parsed(self, path: Path) -> Measured | None:
        try:
            return Measured.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            log.debug("the calibration %s is not used: %s", path, error)
            return None

    def _facts(self, manifest: Manifest, device: str) -> dict[str, str]:
        spec = hashlib.sha256(manifest.spec.model_dump_json().encode()).hexdigest()
        return {"weights": manifest.weights_digest, "network": f"sha256:{spec}", "device": device, **self._machine}

    def _path(self, depends_on: Mapping[str, Any]) -> Path:
        """Raises RuntimeError: the folder lies in a home that does not exist."""
        name = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()
        return self._given_folder.expanduser() / f"{name[:32]}.json"
