"""Writes that survive a crash: fsync, then rename, so that a reader sees all of a file or folder or none of it.

Knows nothing of models.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

STAGING: Final = "staging"
FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_LOCK_POLL_SECONDS: Final = 0.002


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


def replace_file(path: Path, content: bytes, padding: bytes = b"") -> None:
    """Puts `content` at `path` in one step: readers see the old content or the new, never a part.

    padding: a byte that means nothing at the end of such a file. On a full disk what does not grow is then written over the old
    content, filled up with it: one short write in place.
    """
    staged = hidden_sibling(path, STAGING)
    try:
        write_file(staged, content)
        os.replace(staged, path)
    except BaseException as error:
        staged.unlink(missing_ok=True)
        if not (padding and isinstance(error, OSError) and error.errno in FULL and _overwritten(path, content, padding)):
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


@contextmanager
def still(folder: Path, patience_seconds: float) -> Iterator[bool]:
    """Holds the folder's lock beside others who only read: nobody who writes under it is half done. Whether it is held: who has
    it for longer than that is not waited for, and where nothing can be locked there is nothing to wait for. Raises OSError.
    """
    deadline = time.monotonic() + patience_seconds
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        while not (held := _locked(descriptor, fcntl.LOCK_SH)) and time.monotonic() < deadline:
            time.sleep(_LOCK_POLL_SECONDS)
        yield held
    finally:
        os.close(descriptor)


@contextmanager
def if_free(path: Path) -> Iterator[bool]:
    """Holds the lock of a file or folder unless somebody else does; whether it is held."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield _locked(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def delete(path: Path) -> None:
    """A file, or a folder with all that is in it. Raises OSError; that it is gone already is no error."""
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        return


def _locked(descriptor: int, how: int) -> bool:
    """At once, or not."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _overwritten(path: Path, content: bytes, padding: bytes) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY)
    except FileNotFoundError:
        return False
    try:
        size = os.fstat(descriptor).st_size
        if len(content) > size:
            return False
        os.pwrite(descriptor, content.ljust(size, padding), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return True
