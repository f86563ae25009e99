"""Whether an object store keeps the one promise on which everything rests: that a write under a condition is refused where the
condition does not hold. Some say yes to whatever they are sent; two publishers would then lose each other's work.
"""

from __future__ import annotations

import logging
import uuid
from pathlib import Path
from typing import Final

from cellserve.service import disk
from cellserve.service.errors import RepositoryError
from cellserve.service.registry.repository.remote.garbage import delete
from cellserve.service.registry.repository.remote.objects import Objects, Overtaken

log = logging.getLogger(__name__)

_SEEN_FILE: Final = ".conditional-writes"
_FOLDER: Final = "checks"


def require(objects: Objects, mirror: Path) -> None:
    """Tried once for each mirror, before the first change. Raises RepositoryError, RepositoryAway."""
    seen = mirror / _SEEN_FILE
    if seen.exists():
        return
    path = f"{_FOLDER}/{uuid.uuid4().hex}"
    try:
        first = objects.write(path, b"1", None)
        kept = _refused(objects, path, None) and _refused(objects, path, f"{first}-of-another")
        if kept:
            objects.write(path, b"2", first)
            kept = _refused(objects, path, first)
    finally:
        delete(objects, (path,))
    if not kept:
        raise RepositoryError(
            f"{objects.name} writes whatever it is sent, also under a condition that does not hold (If-None-Match, If-Match): "
            "changes of others would be lost. Use a store that does conditional writes"
        )
    mirror.mkdir(parents=True, exist_ok=True)
    disk.write_file(seen, objects.name.encode())


def _refused(objects: Objects, path: str, known: str | None) -> bool:
    try:
        objects.write(path, b"3", known)
    except Overtaken:
        return True
    return False
