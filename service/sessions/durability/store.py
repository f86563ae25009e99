"""The folder of live sequences: segments, and a manifest that says which of them count, with their digests.

A segment counts once the manifest names it, and the manifest changes in one step: after a crash the folder holds all of a
write or nothing of it. One server at a time uses a folder. Blocking: called in threads, by one at a time. Knows no live sequence.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cellserve.service import disk
from cellserve.service.sessions.durability.segment import DamagedSegment, Segment, decode, encode

log = logging.getLogger(__name__)

_MANIFEST: Final = "manifest.json"
_LOCK: Final = "lock"
_SUFFIX: Final = ".safetensors"


class FolderInUse(OSError):
    """Another server keeps its sequences there."""


class SegmentEntry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str = Field(pattern=r"^[0-9a-f]{32}\.safetensors$")
    model: str
    version: int
    weights_digest: str
    sequences: int
    sha256: str


class StoreManifest(BaseModel):
    """clean: every sequence was written when its server stopped. segments: later ones outdo earlier ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    clean: bool = False
    written_unix_seconds: float = 0.0
    segments: tuple[SegmentEntry, ...] = ()


class SessionStore:
    """Made if missing. Raises FolderInUse, OSError."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise FolderInUse(f"another server keeps its sequences in {folder}") from error
        self.manifest = self._read_manifest()

    @property
    def sequences(self) -> int:
        """Rows on disk, those that are out of date included."""
        return sum(entry.sequences for entry in self.manifest.segments)

    def read(self) -> tuple[list[Segment], bool]:
        """Every segment, in order, and whether together they are the whole truth. Damaged ones are left out, with a log line."""
        segments = []
        for entry in self.manifest.segments:
            path = self._folder / entry.file
            try:
                content = path.read_bytes()
                if hashlib.sha256(content).hexdigest() != entry.sha256:
                    raise DamagedSegment("its digest is not the one in the manifest")
                segments.append(decode(content))
            except (OSError, DamagedSegment) as error:
                log.error("%d live sequences of %s are not restored: %s: %s", entry.sequences, entry.model, path, error)
        return segments, self.manifest.clean and len(segments) == len(self.manifest.segments)

    def mark_unclean(self) -> None:
        """From now on what is here may be out of date. Raises OSError."""
        self._put(self.manifest.model_copy(update={"clean": False}))

    def write(self, segment: Segment) -> SegmentEntry:
        """Puts a segment on disk; it counts with the next `commit`. Raises OSError."""
        content = encode(segment)
        name = uuid.uuid4().hex + _SUFFIX
        disk.write_file(self._folder / name, content)
        return SegmentEntry(
            file=name,
            model=segment.of.model,
            version=segment.of.version,
            weights_digest=segment.of.weights_digest,
            sequences=len(segment.records),
            sha256=hashlib.sha256(content).hexdigest(),
        )

    def commit(self, entries: Iterable[SegmentEntry], *, whole: bool, clean: bool, written_unix_seconds: float) -> None:
        """Makes `entries` count: after all others, or (whole) instead of them. Raises OSError."""
        segments = (*(() if whole else self.manifest.segments), *entries)
        self._put(StoreManifest(clean=clean, written_unix_seconds=written_unix_seconds, segments=segments))
        self._sweep()

    def close(self) -> None:
        os.close(self._lock)

    def _put(self, manifest: StoreManifest) -> None:
        disk.sync(self._folder)
        disk.replace_file(self._folder / _MANIFEST, manifest.model_dump_json(indent=1).encode())
        self.manifest = manifest

    def _read_manifest(self) -> StoreManifest:
        path = self._folder / _MANIFEST
        try:
            return StoreManifest.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return StoreManifest()
        except (OSError, ValidationError) as error:
            log.error("no live sequence is restored: %s is damaged: %s", path, str(error).partition("\n")[0])
            return StoreManifest()

    def _sweep(self) -> None:
        """Removes segments that do not count: of a write that was cut short, or out of date; and what a killed server staged."""
        counted = {entry.file for entry in self.manifest.segments}
        for path in self._folder.glob(f".{disk.STAGING}-*"):
            path.unlink(missing_ok=True)
        for path in self._folder.glob("*" + _SUFFIX):
            if path.name not in counted:
                path.unlink(missing_ok=True)
