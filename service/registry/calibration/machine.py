"""What a measurement of speed depends on beside the network: this machine, its processor and the libraries that compute.

Imports none of them. Knows no measurements.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_LIBRARIES: Final = ("cellserve", "numpy", "onnxruntime", "torch")


def identity() -> dict[str, str]:
    """Facts by name; where any of them differs, a measurement says nothing."""
    processor, flags = _processor()
    facts = {
        "host": platform.node(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor,
        "processor flags": hashlib.sha256(flags.encode()).hexdigest()[:16],
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
    }
    return facts | {library: _version(library) for library in _LIBRARIES} | {"code": code_digest()}


def code_digest(folder: Path | None = None) -> str:
    """Of the Python files and libraries in a folder, by default of the networks' own: builds of one version may differ."""
    if folder is None:
        found = find_spec("cellserve.models")
        folder = Path(next(iter(found.submodule_search_locations or ()), "")) if found is not None else Path()
    digest = hashlib.sha256()
    for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.so")]):
        digest.update(f"{path.relative_to(folder)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _processor(path: Path = Path("/proc/cpuinfo")) -> tuple[str, str]:
    """Name and instruction sets, as far as the system tells."""
    try:
        text = path.read_text()
    except OSError:
        return platform.processor(), ""
    facts: Mapping[str, str] = dict(reversed([_fact(line) for line in text.splitlines()]))
    return facts.get("model name") or platform.processor(), facts.get("flags") or facts.get("Features", "")


def _fact(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "none"
