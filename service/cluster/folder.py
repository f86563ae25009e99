"""The folder of a cluster on this machine: who runs in it, its logs, the proxy's files, the store's data.

One cluster at a time: whoever runs in it holds a lock, which ends with its process. A folder whose lock is free has no cluster.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from cellserve.service.cluster.errors import ClusterFailed

_TAIL_LINES: Final = 15
_LOOKS: Final = 10
_LOOK_SECONDS: Final = 0.02


class Folder:
    """root is made when it is needed."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.store = self.root / "store"
        self.bootstrap = self.root / "envoy.json"
        self.endpoints = self.root / "endpoints.json"
        self._state = self.root / "cluster.json"
        self._lock = self.root / "lock"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Raises ClusterFailed: another cluster runs in it, or it cannot be written."""
        try:
            self.store.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ClusterFailed(f"the cluster's folder {self.root} cannot be written: {error.strerror}") from error
        try:
            if not _locked_soon(lock):
                raise ClusterFailed(
                    f"a cluster runs in {self.root} already; end it by `cellserve cluster down`, or name another folder"
                )
            try:
                yield
            finally:
                self._state.unlink(missing_ok=True)
        finally:
            os.close(lock)

    def log(self, name: str) -> Path:
        return self.root / f"{name}.log"

    def tail(self, name: str) -> str:
        """The end of a log, for whoever is told that a program failed."""
        try:
            lines = self.log(name).read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join([f"The end of {self.log(name)}:", *(f"  {line}" for line in lines[-_TAIL_LINES:])])

    def write_state(self, state: dict[str, Any]) -> None:
        replace_file(self._state, json.dumps(state))

    def state(self) -> dict[str, Any]:
        """What runs in it. Raises ClusterFailed: nothing does."""
        if not self.taken():
            raise ClusterFailed(f"no cluster runs in {self.root}; `cellserve cluster up` starts one")
        try:
            found: dict[str, Any] = json.loads(self._state.read_text())
        except FileNotFoundError as error:
            raise ClusterFailed(f"the cluster in {self.root} is starting or ending; ask again in a moment") from error
        return found

    def taken(self) -> bool:
        """Whether a cluster runs in it."""
        try:
            lock = os.open(self._lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return not _lock(lock)
        finally:
            os.close(lock)


def replace_file(path: Path, text: str) -> None:
    """Whoever reads it finds the old text or the new one, whole."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def _locked_soon(lock: int) -> bool:
    """Whoever looks whether there is a cluster holds it for a moment."""
    for _ in range(_LOOKS):
        if _lock(lock):
            return True
        time.sleep(_LOOK_SECONDS)
    return False


def _lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
