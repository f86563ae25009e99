"""How the repository lies on disk: names of files, and which folders are models and versions; no number is ever given twice."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Final

from cellserve.service import disk
from cellserve.service.errors import InvalidInput
from cellserve.service.registry.manifest import check_model_name, parse_version

MANIFEST_FILE: Final = "manifest.json"
WEIGHTS_FILE: Final = "weights.safetensors"
GRAPH_FILE: Final = "graph.onnx"  # of a step model, in their place
SEAL_FILE: Final = "manifest.sha256"  # beside it, as sha256sum writes and checks it
ALIASES_FILE: Final = "aliases.json"
HIGHEST_FILE: Final = ".highest-version"  # written when a version is removed
REMOVED: Final = "removed"
_REMOVED_VERSION: Final = re.compile(r"\.removed-([1-9][0-9]{0,17})-[0-9a-f]+")

Fingerprint = tuple[tuple[int, int, int], ...]


def fingerprint(folder: Path) -> Fingerprint:
    """Changes when the files of a version's folder change. Empty if they are gone."""
    marks = []
    for name in (MANIFEST_FILE, WEIGHTS_FILE, GRAPH_FILE):
        try:
            stat = (folder / name).stat()
        except OSError:
            continue
        marks.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return tuple(marks)


def seal(manifest: bytes) -> bytes:
    """What SEAL_FILE says of a manifest."""
    return f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST_FILE}\n".encode()


def is_model(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    try:
        check_model_name(folder.name)
    except InvalidInput:
        return False
    return True


def version_numbers(folder: Path) -> list[int]:
    try:
        with os.scandir(folder) as entries:
            return sorted(number for entry in entries if (number := parse_version(entry.name)) is not None and entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def removed_version(folder: Path, version: int) -> Path:
    """Where a version goes that is being removed: its number counts as long as this is there."""
    return disk.hidden_sibling(folder / str(version), f"{REMOVED}-{version}")


def next_number(folder: Path) -> int:
    """One more than any version the model has or had."""
    return max([_highest(folder), *version_numbers(folder), *_removed_numbers(folder)]) + 1


def remember_number(removed: Path) -> None:
    """Before what `removed_version` named goes for good; nothing for other names. Raises OSError."""
    if (found := _REMOVED_VERSION.fullmatch(removed.name)) and int(found[1]) > _highest(removed.parent):
        disk.replace_file(removed.parent / HIGHEST_FILE, found[1].encode(), padding=b"\n")


def _highest(folder: Path) -> int:
    try:
        return int((folder / HIGHEST_FILE).read_text())
    except (FileNotFoundError, ValueError):
        return 0


def _removed_numbers(folder: Path) -> list[int]:
    try:
        names = [entry.name for entry in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [int(found[1]) for name in names if (found := _REMOVED_VERSION.fullmatch(name))]
