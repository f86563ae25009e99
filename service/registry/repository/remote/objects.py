"""The few things that an object store must do for a repository. Knows no client library and nothing of models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol


class Overtaken(Exception):
    """Somebody else has written the object since it was read."""


class Listed(NamedTuple):
    """mark: another one whenever the content is another one. modified: when it was written, as the store says."""

    mark: str
    modified: datetime


class Stored(NamedTuple):
    content: bytes
    mark: str


class Objects(Protocol):
    """Paths are relative to the repository. Every method blocks, and raises RepositoryAway: the store did not do it, or did not
    say so in time. From any thread.
    """

    @property
    def name(self) -> str:
        """As its owner calls it; never with a password."""
        ...

    def list(self, folder: str) -> Mapping[str, Listed]:
        """Everything below, by path."""
        ...

    def get(self, path: str) -> Stored | None:
        """A small object; None: there is none."""
        ...

    def parts(self, path: str, size_bytes: int) -> Iterator[bytes]:
        """A large one, of which so much is expected. Ends early where there is less, or none."""
        ...

    def put(self, path: str, content: bytes | Path) -> None:
        """Under a path that nobody else writes."""
        ...

    def write(self, path: str, content: bytes, known: str | None) -> str:
        """Only if the object still has this mark; None: only if there is none. Gives the new mark. Raises Overtaken."""
        ...

    def delete(self, paths: Sequence[str]) -> None:
        """That one is gone already is no error."""
        ...
