"""What has come of publications that are not versions yet: a folder for each beside the models, bounded, and left alone when its
publisher has gone until it comes again or the folder is too old.

Whoever works with a folder holds its lock, also across processes. Every method blocks. Knows no networks and no wire.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from cellserve.service import disk
from cellserve.service.errors import InvalidInput, RepositoryError, RepositoryFull, UploadBusy, UploadDamaged, UploadLimit
from cellserve.service.registry.publishing.declaration import Declaration

log = logging.getLogger(__name__)

UPLOADS_FOLDER: Final = ".uploads"
_DECLARATION_FILE: Final = "declaration.json"


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """most_bytes: of one publication. most: unfinished ones. expiry_seconds: since something came of one."""

    most_bytes: int
    most: int
    expiry_seconds: float


class Upload:
    """One publication, held until `close`. Made by Uploads."""

    def __init__(self, folder: Path, declaration: Declaration, lock: int) -> None:
        self.folder = folder
        self.declaration = declaration
        self._lock = lock

    @property
    def lock(self) -> int:
        """A descriptor; whoever inherits it holds the folder as well."""
        return self._lock

    @property
    def received(self) -> dict[str, int]:
        """Bytes of each declared file, from its beginning."""
        return {file.name: _size(self.folder / file.name) for file in self.declaration.files}

    @property
    def whole(self) -> bool:
        return all(self.received[file.name] == file.bytes for file in self.declaration.files)

    def append(self, name: str, offset: int, data: bytes) -> None:
        """What is held already is passed over. Raises InvalidInput (not what follows), RepositoryFull, RepositoryError."""
        file = self.declaration.file(name)
        path = self.folder / name
        held = _size(path)
        if not 0 <= offset <= held:
            raise InvalidInput(
                f"the next part of {name} begins at byte {held}, and one came of byte {offset}", field="content.offset"
            )
        if offset + len(data) > file.bytes:
            raise InvalidInput(f"{name} was declared with {file.bytes} bytes, and more came", field="content.data")
        with _disk_trouble(f"{name} cannot be written"), path.open("ab", buffering=0) as written:
            rest = memoryview(data)[held - offset :]
            while rest:
                rest = rest[written.write(rest) :]

    def verify(self) -> None:
        """That each file is what was declared; else all of it is dropped. Raises UploadDamaged, RepositoryError."""
        for file in self.declaration.files:
            with _disk_trouble(f"{file.name} cannot be read"), (self.folder / file.name).open("rb") as written:
                digest = f"sha256:{hashlib.file_digest(written, 'sha256').hexdigest()}"
            if digest != file.digest:
                self.discard()
                raise UploadDamaged(
                    f"{file.name} has the digest {digest}, and {file.digest} was declared; what came is dropped, send it again"
                )

    def discard(self) -> None:
        """It stays held. What cannot be deleted is told in the log, and swept when it is old."""
        try:
            disk.delete(self.folder)
        except OSError as error:
            log.warning("%s cannot be removed: %s", self.folder, error.strerror)

    def close(self) -> None:
        os.close(self._lock)


class Uploads:
    """Of the repository at `root`."""

    def __init__(self, root: Path, limits: UploadLimits) -> None:
        self._root = root
        self._folder = root / UPLOADS_FOLDER
        self._limits = limits

    def open(self, declaration: Declaration) -> Upload:
        """What has come of the publication before, or nothing yet; what was declared otherwise before is dropped.

        Raises UploadLimit, UploadBusy, RepositoryFull, RepositoryError.
        """
        total = declaration.total_bytes
        if total > self._limits.most_bytes:
            raise UploadLimit(
                f"{declaration.model} has {total:,} bytes, and a publication at most {self._limits.most_bytes:,} "
                "(--max-upload-bytes)",
                field="begin.files",
            )
        folder = self._folder / declaration.folder
        with _disk_trouble(f"{declaration.model} cannot be taken"):
            self._folder.mkdir(parents=True, exist_ok=True)
            self.sweep()
            with disk.exclusive(self._folder):
                others = [entry for entry in self._folder.iterdir() if entry != folder]
                if len(others) >= self._limits.most:
                    raise UploadLimit(
                        f"{len(others)} publications are unfinished here, and at most {self._limits.most} may be "
                        "(--max-uploads); let them end, or wait until they are too old"
                    )
                folder.mkdir(exist_ok=True)
                upload = Upload(folder, declaration, _locked(folder))
            try:
                self._begin(upload)
                self._require_room(upload)
            except BaseException:
                upload.close()
                raise
        return upload

    def forget(self, declaration: Declaration) -> None:
        """What is left of a publication that has become a version, unless somebody holds it; that is swept when it is old."""
        folder = self._folder / declaration.folder
        try:
            with disk.if_free(folder) as free:
                if free:
                    disk.delete(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            log.warning("%s cannot be removed: %s", folder, error.strerror)

    def sweep(self) -> None:
        """Deletes what nobody holds and nothing has come of for too long."""
        if not self._folder.is_dir():
            return
        latest = time.time() - self._limits.expiry_seconds
        with disk.exclusive(self._folder):
            for folder in list(self._folder.iterdir()):
                with suppress(FileNotFoundError), disk.if_free(folder) as free:
                    if free and _touched(folder) < latest:
                        log.info("%s: nothing has come of this publication for too long; it is dropped", folder)
                        disk.delete(folder)

    def _begin(self, upload: Upload) -> None:
        path = upload.folder / _DECLARATION_FILE
        before = _declared(path)
        if before is not None and before.same_content(upload.declaration):
            os.utime(upload.folder)
            return
        for entry in list(upload.folder.iterdir()):
            disk.delete(entry)
        disk.write_file(path, upload.declaration.model_dump_json().encode())

    def _require_room(self, upload: Upload) -> None:
        """For what is still to come, and for the version that is made of it."""
        total = upload.declaration.total_bytes
        needed = 2 * total - sum(upload.received.values())
        free = shutil.disk_usage(upload.folder).free
        if needed > free:
            raise RepositoryFull(
                f"{upload.declaration.model} needs {needed:,} bytes on the disk of {self._root} (twice its {total:,}: as "
                f"it comes, and as a version), and {free:,} are free; make room there, then publish again"
            )


def _locked(folder: Path) -> int:
    """A descriptor that holds it. Raises UploadBusy."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UploadBusy("this publication is in the hands of another process of the server; try again in a moment") from None
    return descriptor


def _declared(path: Path) -> Declaration | None:
    try:
        return Declaration.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        log.info("%s is damaged, and its publication begins anew: %s", path, error.errors()[0]["msg"])
        return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _touched(folder: Path) -> float:
    """When something came last, seconds since 1970."""
    return max(entry.stat().st_mtime for entry in (folder, *folder.iterdir()))


@contextmanager
def _disk_trouble(sentence: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in disk.FULL:
            raise RepositoryFull(
                f"{sentence}: the disk of the model repository is full; make room there, then publish again"
            ) from error
        raise RepositoryError(f"{sentence}: {error.strerror or error}") from error
