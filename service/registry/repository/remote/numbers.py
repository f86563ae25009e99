"""Numbers of versions that were fetched from an object store, kept in their folders of the mirror as long as there is room: the
longest unused go first, never one that is being read. Each is what was published, by its digest, whenever it is read.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cellserve.service import disk
from cellserve.service.errors import RepositoryError
from cellserve.service.registry.repository import layout
from cellserve.service.registry.repository.remote.ledger import StoredFile
from cellserve.service.registry.repository.remote.objects import Objects

log = logging.getLogger(__name__)


class NumbersCache:
    """root: of the mirror. most_bytes: that is kept; what is needed is fetched all the same."""

    def __init__(self, root: Path, objects: Objects, most_bytes: int) -> None:
        self._root = root
        self._objects = objects
        self._most_bytes = most_bytes

    @contextmanager
    def held(self, path: Path, stored: StoredFile) -> Iterator[Path]:
        """path: where it is in its version's folder. Raises RepositoryAway, RepositoryError (it is not what was published)."""
        with disk.exclusive(path.parent):
            if not _is(path, stored):
                self._fetch(path, stored)
            _touch(path)
            self._make_room()
            yield path

    def adopt(self, staged: Path, path: Path) -> None:
        """A file that was published from here, and need not be fetched."""
        with disk.exclusive(path.parent):
            staged.replace(path)
            _touch(path)
            self._make_room()

    def _fetch(self, path: Path, stored: StoredFile) -> None:
        staged = disk.hidden_sibling(path.parent, disk.STAGING)
        staged.touch()
        with disk.if_free(staged):  # or it would be swept
            try:
                with staged.open("wb") as file:
                    for part in self._objects.parts(stored.path, stored.bytes):
                        file.write(part)
                if not _is(staged, stored):
                    raise RepositoryError(
                        f"{stored.path} of {self._objects.name} is not what was published ({stored.bytes:,} bytes, "
                        f"{stored.digest}): the version is damaged; remove it and import the file again"
                    )
                disk.sync(staged)
                staged.replace(path)
            finally:
                staged.unlink(missing_ok=True)

    def _make_room(self) -> None:
        used = sorted(
            (stat.st_mtime_ns, stat.st_size, path)
            for name in (layout.WEIGHTS_FILE, layout.GRAPH_FILE)
            for path in self._root.glob(f"*/*/{name}")
            if (stat := _stat(path)) is not None
        )
        excess = sum(size for _, size, _ in used) - self._most_bytes
        for _, size, path in used:
            if excess <= 0:
                return
            if _deleted(path):
                log.info("%s is not kept here any longer; it is fetched again when it is asked for", path)
                excess -= size


def digest_of(path: Path) -> str:
    """Raises OSError."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _is(path: Path, stored: StoredFile) -> bool:
    stat = _stat(path)
    if stat is None:
        return False
    if stat.st_size == stored.bytes and digest_of(path) == stored.digest:
        return True
    log.warning("%s is not what was published", path)
    return False


def _touch(path: Path) -> None:
    """It is used now, by a clock that is finer than the file system's own."""
    now = time.time_ns()
    os.utime(path, ns=(now, now))


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _deleted(path: Path) -> bool:
    """Unless somebody reads it."""
    try:
        with disk.if_free(path.parent) as free:
            if free:
                path.unlink(missing_ok=True)
            return free
    except FileNotFoundError:
        return True
