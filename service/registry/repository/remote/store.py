"""Object stores by URL, through obstore: S3 and what speaks like it, Google Cloud Storage, Azure. The one place that knows it.

Where a store is, and who asks, is told by the variables of each cloud (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, …), which obstore
reads; one without TLS is asked only where such a variable says http://. A call that gets no answer is repeated a few times, and
then given up: nobody waits for minutes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cellserve.service.errors import RepositoryAway, RepositoryError
from cellserve.service.registry.repository.remote.objects import Listed, Overtaken, Stored

if TYPE_CHECKING:
    from obstore import UpdateVersion
    from obstore.store import ObjectStore

_PART_BYTES: Final = 8 * 1024 * 1024  # of a large object, each in a call of its own
_TIMEOUT: Final = timedelta(seconds=20)  # of a call
_CONNECT_TIMEOUT: Final = timedelta(seconds=4)
_GIVEN_UP: Final = timedelta(seconds=15)  # after which a failed call is not repeated
_REPEATS: Final = 3
_GENERATIONS: Final = 3  # of an object that are remembered beside the last


class Store:
    """url: for sentences. store: obstore's, of the repository's prefix."""

    def __init__(self, url: str, store: ObjectStore) -> None:
        self.name = url
        self._store = store
        self._generations: dict[str, dict[str, str]] = {}  # by path and mark; Google's conditions name them in place of marks

    @classmethod
    def at(cls, url: str) -> Store:
        """Asks nothing yet. Raises RepositoryError: the package is missing, or the URL or a variable is wrong."""
        try:
            from obstore.exceptions import BaseError
            from obstore.store import from_url
        except ModuleNotFoundError as error:
            raise RepositoryError(f"{url} needs the package obstore: pip install 'cellserve[remote]'") from error
        try:
            store = from_url(
                url,
                client_options={"timeout": _TIMEOUT, "connect_timeout": _CONNECT_TIMEOUT, "allow_http": True},
                retry_config={"max_retries": _REPEATS, "retry_timeout": _GIVEN_UP},
            )
        except (BaseError, ValueError) as error:
            raise RepositoryError(f"{url} cannot be used: {_first_line(error)}") from error
        return cls(url, store)

    def list(self, folder: str) -> Mapping[str, Listed]:
        import obstore

        with self._asked("list"):
            found = [each for chunk in obstore.list(self._store, folder, chunk_size=1000) for each in chunk]
        return {each["path"]: Listed(_mark(each["e_tag"]), each["last_modified"]) for each in found}

    def get(self, path: str) -> Stored | None:
        import obstore

        with self._asked(f"read {path}"):
            try:
                found = obstore.get(self._store, path)
                return Stored(bytes(found.bytes()), self._noted(path, found.meta["e_tag"], found.meta["version"]))
            except FileNotFoundError:
                return None

    def parts(self, path: str, size_bytes: int) -> Iterator[bytes]:
        import obstore

        for start in range(0, size_bytes, _PART_BYTES):
            with self._asked(f"read {path}"):
                try:
                    part = bytes(obstore.get_range(self._store, path, start=start, end=min(start + _PART_BYTES, size_bytes)))
                except FileNotFoundError:
                    return
            yield part

    def put(self, path: str, content: bytes | Path) -> None:
        import obstore

        with self._asked(f"write {path}"):
            obstore.put(self._store, path, content, chunk_size=_PART_BYTES)

    def write(self, path: str, content: bytes, known: str | None) -> str:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with self._asked(f"write {path}"):
            try:
                written = obstore.put(self._store, path, content, mode="create" if known is None else self._update(path, known))
            except (AlreadyExistsError, PreconditionError) as error:
                raise Overtaken(path) from error
        return self._noted(path, written["e_tag"], written["version"])

    def delete(self, paths: Sequence[str]) -> None:
        import obstore

        for path in paths:
            with self._asked(f"delete {path}"):
                try:
                    obstore.delete(self._store, path)
                except FileNotFoundError:
                    continue

    def _noted(self, path: str, e_tag: str | None, generation: str | None) -> str:
        """The mark of an object that was read or written."""
        mark = _mark(e_tag)
        if generation is not None:
            known = self._generations.get(path, {})
            self._generations[path] = {**dict(list(known.items())[-_GENERATIONS:]), mark: generation}
        return mark

    def _update(self, path: str, known: str) -> UpdateVersion:
        """The condition that an object is the one with this mark. Raises Overtaken: none there has had it."""
        if (generations := self._generations.get(path)) is None:
            return {"e_tag": known}
        if known not in generations:
            raise Overtaken(path)
        return {"e_tag": known, "version": generations[known]}

    @contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        try:
            yield
        except Overtaken:
            raise
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise RepositoryAway(
                f"{self.name} does not let this process {what}; see its credentials ({_first_line(error)})"
            ) from error
        except (BaseError, OSError, ValueError) as error:
            raise RepositoryAway(f"{self.name} cannot be asked to {what}: {_first_line(error)}") from error


def _mark(e_tag: str | None) -> str:
    """As conditions have it: Azure lists are without the quotes."""
    return f'"{e_tag}"' if e_tag and not e_tag.endswith('"') else e_tag or ""


def _first_line(error: Exception) -> str:
    """obstore tells the whole of its insides below it."""
    return str(error).partition("\n")[0].strip() or type(error).__name__
