"""An object store in memory, whose calls can be killed, fail or lose their answers, one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from obstore.store import MemoryStore

from cellserve.service.errors import RepositoryAway
from cellserve.service.registry.repository.remote.bucket import Bucket
from cellserve.service.registry.repository.remote.objects import Listed, Stored
from cellserve.service.registry.repository.remote.store import Store
from cellserve.service.registry.repository.repository import Repository
from tests.service.registry.fakes import passing_gate


class Killed(BaseException):
    """What kill -9 does to the work under way: nothing that follows is done."""


class Objects:
    """A store that others may look at through another one of the same `memory`.

    kill_before, kill_after: which call, from 1 on, the process dies before, or as soon as it is done. lost: which write is done
    and its answer lost. away: no call is answered. calls: how many there were.
    """

    name = "s3://bucket/models"

    def __init__(self, memory: MemoryStore) -> None:
        self._store = Store(self.name, memory)
        self.calls = 0
        self.kill_before = self.kill_after = 0
        self.lost: Sequence[int] = ()
        self.away = False

    def list(self, folder: str) -> Mapping[str, Listed]:
        self._begin()
        listed = self._store.list(folder)
        self._end()
        return listed

    def get(self, path: str) -> Stored | None:
        self._begin()
        stored = self._store.get(path)
        self._end()
        return stored

    def parts(self, path: str, size_bytes: int) -> Iterator[bytes]:
        self._begin()
        yield from self._store.parts(path, size_bytes)
        self._end()

    def put(self, path: str, content: bytes | Path) -> None:
        self._begin()
        self._store.put(path, content)
        self._end()

    def write(self, path: str, content: bytes, known: str | None) -> str:
        self._begin()
        mark = self._store.write(path, content, known)
        self._end()
        return mark

    def delete(self, paths: Sequence[str]) -> None:
        self._begin()
        self._store.delete(paths)
        self._end()

    def _begin(self) -> None:
        self.calls += 1
        if self.away:
            raise RepositoryAway(f"{self.name} cannot be asked: nobody answers")
        if self.calls == self.kill_before:
            raise Killed

    def _end(self) -> None:
        if self.calls == self.kill_after:
            raise Killed
        if self.calls in self.lost:
            raise RepositoryAway(f"{self.name} cannot be asked: the answer did not come")


class Machine:
    """One of those that share a store, with a mirror of its own."""

    def __init__(self, memory: MemoryStore, folder: Path, cache_bytes: int = 1 << 30) -> None:
        self.objects = Objects(memory)
        self.folder = folder
        self.home = Bucket(self.objects, folder, cache_bytes, poll_seconds=5.0)
        self.repository = Repository(self.home, gate=passing_gate, by="ann@host")

    def seen(self) -> Repository:
        """The repository, as it is in the store now."""
        self.repository.refresh()
        return self.repository
