"""What processes that were killed have left in a repository: found by its name, and by nobody holding it any more.

Whoever stages or deletes a folder holds its lock meanwhile, and makes it under the repository's lock, which whoever sweeps holds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cellserve.service import disk
from cellserve.service.registry.repository import layout

log = logging.getLogger(__name__)

_PREFIXES: Final = tuple(f".{purpose}-" for purpose in (disk.STAGING, layout.REMOVED))


def found(root: Path) -> Iterator[Path]:
    """In the repository and in its models' folders. Raises OSError."""
    for folder in (root, *(folder for folder in root.iterdir() if layout.is_model(folder))):
        yield from (entry for entry in folder.iterdir() if entry.name.startswith(_PREFIXES))


def sweep(root: Path) -> None:
    """Deletes what nobody holds; what cannot be deleted is told in the log and stays. Under the repository's lock."""
    try:
        for entry in list(found(root)):
            _sweep_one(entry)
    except OSError as error:
        log.warning("what killed imports may have left in %s cannot be looked for: %s", root, error)


def _sweep_one(entry: Path) -> None:
    try:
        with disk.if_free(entry) as free:
            if free:
                layout.remember_number(entry)
                disk.delete(entry)
                log.info("%s was left by a process that was killed; it is removed", entry)
    except FileNotFoundError:
        log.debug("%s is gone meanwhile", entry)
    except OSError as error:
        log.warning("%s was left by a process that was killed, and cannot be removed: %s", entry, error.strerror)
