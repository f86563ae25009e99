"""Places that fsspec can read, by URL: web servers, SFTP, HDFS, archives and whatever else has a package for it.

Read only. fsspec promises no writes under a condition, on which everything rests that changes a repository, and what its file
systems do of their own accord is not told. A repository comes there as a copy of one in an object store. The one place that knows
fsspec, whose file systems raise anything.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cellserve.service.errors import RepositoryAway, RepositoryError
from cellserve.service.registry.repository.remote.objects import Listed, Stored

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_PART_BYTES: Final = 8 * 1024 * 1024
_TELLING: Final = ("ETag", "etag", "checksum", "md5", "sha256", "mtime", "modified", "LastModified", "last_modified", "created")


class ReadOnlyStore:
    """Made by `at`. A mark is the digest of the content, which is read again where a listing does not say that it is the same."""

    def __init__(self, url: str) -> None:
        self.name = url
        self._opened: tuple[AbstractFileSystem, str] | None = None
        self._one_at_a_time = threading.Lock()  # many of the file systems are not for several threads
        self._marks: dict[str, tuple[str, str]] = {}  # by path: what the listing said, and the mark

    @classmethod
    def at(cls, url: str) -> ReadOnlyStore:
        """Asks nothing yet. Raises RepositoryError: nothing reads such URLs, or a package for them is missing."""
        scheme = url.partition(":")[0]
        try:
            import fsspec

            fsspec.get_filesystem_class(scheme)
        except ModuleNotFoundError as error:
            raise RepositoryError(f"{url} needs the package fsspec: pip install 'cellserve[remote]'") from error
        except ImportError as error:
            raise RepositoryError(f"{url} cannot be read: {_first_line(error)}") from error
        except ValueError as error:
            raise RepositoryError(
                f"{url} is no place for a repository: nothing here reads {scheme}://. Write a folder, s3://bucket/prefix, "
                "gs:// or az://, or to read only a URL that fsspec knows"
            ) from error
        return cls(url)

    def list(self, folder: str) -> Mapping[str, Listed]:
        """Raises RepositoryAway also where there is nothing: that is not how a repository goes."""
        with self._asked("list") as (files, root):
            files.invalidate_cache()
            found = files.find(f"{root}/{folder}", detail=True)
        if not found:
            raise RepositoryAway(f"{self.name} holds no {folder}: no repository was copied there, or it is away")
        paths = {str(path)[str(path).index(f"{root}/{folder}") + len(root) + 1 :]: info for path, info in found.items()}
        return {path: Listed(self._mark_listed(path, info), datetime.now(UTC)) for path, info in paths.items()}

    def get(self, path: str) -> Stored | None:
        with self._asked(f"read {path}") as (files, root):
            try:
                content = bytes(files.cat_file(f"{root}/{path}"))
            except FileNotFoundError:
                return None
        return Stored(content, _mark(content))

    def parts(self, path: str, size_bytes: int) -> Iterator[bytes]:
        for start in range(0, size_bytes, _PART_BYTES):
            with self._asked(f"read {path}") as (files, root):
                try:
                    part = bytes(files.cat_file(f"{root}/{path}", start=start, end=min(start + _PART_BYTES, size_bytes)))
                except FileNotFoundError:
                    return
            yield part

    def put(self, path: str, content: bytes | Path) -> None:
        raise self._read_only

    def write(self, path: str, content: bytes, known: str | None) -> str:
        raise self._read_only

    def delete(self, paths: Sequence[str]) -> None:
        raise self._read_only

    @property
    def _read_only(self) -> RepositoryError:
        return RepositoryError(
            f"{self.name} can only be read: fsspec promises no writes under a condition, and changes of others would be lost. "
            "Publish to a folder, s3://, gs:// or az://, and copy that there"
        )

    def _mark_listed(self, path: str, info: Mapping[str, Any]) -> str:
        said = repr([(name, info[name]) for name in ("size", *_TELLING) if info.get(name) is not None])
        known = self._marks.get(path)
        if known is not None and known[0] == said and any(info.get(name) is not None for name in _TELLING):
            return known[1]
        stored = self.get(path)
        mark = "" if stored is None else stored.mark
        self._marks[path] = (said, mark)
        return mark

    @contextmanager
    def _asked(self, what: str) -> Iterator[tuple[AbstractFileSystem, str]]:
        import fsspec.core

        with self._one_at_a_time:
            try:
                if self._opened is None:
                    files, root = fsspec.core.url_to_fs(self.name)
                    self._opened = files, root.rstrip("/")
                yield self._opened
            except Exception as error:
                raise RepositoryAway(f"{self.name} cannot be asked to {what}: {_first_line(error)}") from error


def _mark(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].strip() or type(error).__name__
