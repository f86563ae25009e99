"""Files that may be replaced while the server runs: read again once they have changed, good content kept while they are bad.

Knows nothing of what is in them. There is no watcher: whoever needs the content asks for it, and a look at the files costs
microseconds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

_log = logging.getLogger(__name__)

Content = TypeVar("Content")
_Stamp = tuple[int, int, int, int] | None


class UnusableFile(Exception):
    """A file that a setting names cannot be used. str(error) is a sentence: which setting and file, what is wrong, what to do."""


def named(setting: str, path: Path) -> str:
    """How a sentence names the file of a setting: `--tls-key /etc/cellserve/key.pem`."""
    return f"--{setting.replace('_', '-')} {path}"


def read(setting: str, path: Path) -> bytes:
    """Raises UnusableFile."""
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UnusableFile(
            f"{named(setting, path)}: cannot be read ({reason}); name a file that the server's user may read"
        ) from error


class FollowedFiles(Generic[Content]):
    """What `read` makes of `paths`, by their present content. May be asked from any thread."""

    def __init__(self, paths: Sequence[Path], read: Callable[[], Content]) -> None:
        """Raises UnusableFile, which `read` raises."""
        self._paths = tuple(paths)
        self._read = read
        self._seen = self._stamps()  # before reading: what is replaced meanwhile is read again
        self._content = read()

    def current(self) -> Content:
        stamps = self._stamps()
        if stamps != self._seen:
            self._seen = stamps
            self._read_again()
        return self._content

    def _read_again(self) -> None:
        try:
            self._content = self._read()
        except UnusableFile as error:
            _log.error("%s; the server goes on with what it read before", error)
        else:
            _log.info("read again: %s", ", ".join(map(str, self._paths)))

    def _stamps(self) -> tuple[_Stamp, ...]:
        return tuple(map(_stamp, self._paths))


def _stamp(path: Path) -> _Stamp:
    """Changes when the file, or what a link leads to, is replaced or written; None: it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
