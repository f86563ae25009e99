"""Writes that survive a crash: fsync, then rename, so that a reader sees all of a file or folder or none of it.

Knows nothing of models.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_file(path: Path, content: bytes) -> None:
    """Writes a new file and forces it to disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Forces a file, or the entries of a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, content: bytes) -> None:
    """Puts `content` at `path` in one step: readers see the old content or the new, never a part."""
    staged = hidden_sibling(path, "staging")
    try:
        write_file(staged, content)
        os.replace(staged, path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    sync(path.parent)


def hidden_sibling(path: Path, purpose: str) -> Path:
    """A name beside `path` that nobody else uses and that readers of the repository skip."""
    return path.parent / f".{purpose}-{uuid.uuid4().hex}"


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Holds the folder's lock: one thread of one process at a time. Released by the system if the process dies."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
