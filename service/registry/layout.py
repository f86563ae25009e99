"""How the repository lies on disk: names of files, and which folders are models and versions. Reads, never writes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cellserve.service.errors import InvalidInput
from cellserve.service.registry.manifest import check_model_name, parse_version

MANIFEST_FILE: Final = "manifest.json"
WEIGHTS_FILE: Final = "weights.safetensors"
ALIASES_FILE: Final = "aliases.json"
HIGHEST_FILE: Final = ".highest-version"  # written when a version is removed, so that no number is ever given twice

Fingerprint = tuple[tuple[int, int, int], ...]


def fingerprint(folder: Path) -> Fingerprint:
    """Changes when the files of a version's folder change. Empty if they are gone."""
    marks = []
    for name in (MANIFEST_FILE, WEIGHTS_FILE):
        try:
            stat = (folder / name).stat()
        except OSError:
            continue
        marks.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return tuple(marks)


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
        entries = list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(number for entry in entries if (number := parse_version(entry.name)) is not None and entry.is_dir())


def next_number(folder: Path) -> int:
    """One more than any version the model has or had."""
    try:
        highest = int((folder / HIGHEST_FILE).read_text())
    except (FileNotFoundError, ValueError):
        highest = 0
    return max([highest, *version_numbers(folder)]) + 1
