"""The folder in which a repository of an object store is seen on this machine: laid out as a repository in a folder is, with
numbers only where they were asked for. What it shows of a model is its ledger, of which it keeps a copy.

Several processes may share it. What it holds can be lost, or damaged, and is then fetched again. Knows no store.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import TypeAdapter

from cellserve.service import disk
from cellserve.service.engine.facts import VersionKey
from cellserve.service.registry.model_settings import SETTINGS_FILE
from cellserve.service.registry.repository import alias_history, layout, publications
from cellserve.service.registry.repository.remote.ledger import Ledger, VersionRecord

log = logging.getLogger(__name__)

_SHOWN_FILE: Final = ".ledger.json"

Marks = tuple[str, str]  # of the ledger and of model.yaml; empty: there is none
_MARKS = TypeAdapter(Marks)


class Shown(NamedTuple):
    """What the folder shows of a model, and by which objects."""

    marks: Marks
    ledger: Ledger

    @classmethod
    def parse(cls, model: str, content: bytes) -> Shown:
        """Raises ValueError."""
        marks, _, ledger = content.partition(b"\n")
        return cls(_MARKS.validate_json(marks), Ledger.parse(model, ledger))

    def to_bytes(self) -> bytes:
        return json.dumps(self.marks).encode() + b"\n" + self.ledger.to_json()


class Mirror:
    """The root is made by whoever writes first."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._read: dict[str, tuple[tuple[int, int, int], Shown | None]] = {}  # by model, as the file was

    def models(self) -> list[str]:
        try:
            return sorted(folder.name for folder in self.root.iterdir() if layout.is_model(folder))
        except FileNotFoundError:
            return []

    def shown(self, model: str) -> Shown | None:
        """None: nothing, or nothing that can be trusted."""
        path = self.root / model / _SHOWN_FILE
        try:
            stat = path.stat()
            mark = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            known = self._read.get(model)
            if known is not None and known[0] == mark:
                return known[1]
            shown: Shown | None = Shown.parse(model, path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("%s cannot be read, and is fetched again: %s", path, str(error).partition("\n")[0])
            return None
        self._read[model] = (mark, shown)
        return shown

    def record(self, key: VersionKey) -> VersionRecord | None:
        shown = self.shown(key.model)
        return None if shown is None else shown.ledger.versions.get(key.version)

    def settings(self, model: str) -> bytes | None:
        """model.yaml, as it is shown. Raises OSError."""
        try:
            return (self.root / model / SETTINGS_FILE).read_bytes()
        except FileNotFoundError:
            return None

    def lacks(self, ledger: Ledger) -> list[int]:
        """Versions of which another record was shown, or none."""
        shown = self.shown(ledger.model)
        known: Mapping[int, VersionRecord] = {} if shown is None else shown.ledger.versions
        return [number for number, record in ledger.versions.items() if known.get(number) != record]

    def show(self, marks: Marks, ledger: Ledger, manifests: Mapping[int, bytes], settings: bytes | None) -> None:
        """The ledger counts from here on. manifests: of versions that it lacks; without one a version is shown as damaged.

        settings: what model.yaml says. Raises OSError.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with disk.exclusive(self.root):
            if not ledger.versions:
                self._drop(self.root / ledger.model)
                return
            folder = self.root / ledger.model
            folder.mkdir(exist_ok=True)
            for number in self.lacks(ledger):
                self._place(folder / str(number), ledger.versions[number], manifests.get(number))
            _keep(folder / SETTINGS_FILE, settings)
            _keep(folder / layout.ALIASES_FILE, ledger.aliases_file if ledger.aliases or ledger.moves else None)
            _keep(folder / alias_history.HISTORY_FILE, ledger.history_file or None)
            for number in set(layout.version_numbers(folder)) - set(ledger.versions):
                self._drop(folder / str(number))
            _keep(folder / _SHOWN_FILE, Shown(marks, ledger).to_bytes())

    def forget(self, model: str) -> None:
        """It is not in the store. Raises OSError."""
        with disk.exclusive(self.root):
            self._drop(self.root / model)

    def _place(self, folder: Path, record: VersionRecord, manifest: bytes | None) -> None:
        staged = disk.hidden_sibling(folder, disk.STAGING)
        staged.mkdir()
        if manifest is not None:
            disk.write_file(staged / layout.MANIFEST_FILE, manifest)
        if record.publication is not None:
            disk.write_file(staged / publications.PUBLICATION_FILE, record.publication.model_dump_json().encode())
        self._drop(folder)
        staged.rename(folder)

    def _drop(self, folder: Path) -> None:
        """Out of readers' sight at once. What is left of it by a crash is swept."""
        doomed = disk.hidden_sibling(folder, layout.REMOVED)
        try:
            folder.rename(doomed)
        except FileNotFoundError:
            return
        shutil.rmtree(doomed, ignore_errors=True)


def _keep(path: Path, content: bytes | None) -> None:
    """Makes a file this, where it is not; None: there is none."""
    if content is None:
        path.unlink(missing_ok=True)
        return
    try:
        if path.read_bytes() == content:
            return
    except FileNotFoundError:
        log.debug("%s is new", path)
    disk.replace_file(path, content)
