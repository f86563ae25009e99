"""A repository that lives in a folder of this machine, or of one that is mounted: the folder is the truth.

Writers hold one lock on the folder for the moment of the change. Readers hold none, but where what they read seems half written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cellserve.service import disk
from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import RepositoryError
from cellserve.service.registry.manifest import Manifest
from cellserve.service.registry.policy.rollout import Rollout
from cellserve.service.registry.repository import layout, leftovers, placing, rollout_record
from cellserve.service.registry.repository.aliases import Aliases, AliasTable
from cellserve.service.registry.repository.home import WriteRollout
from cellserve.service.registry.repository.publications import Publication

if TYPE_CHECKING:
    from cellserve.models.served import Numbers

log = logging.getLogger(__name__)


class Folder:
    """A home. One that does not exist has no models; the first publish, or `create`, makes it."""

    poll_seconds: Final = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def name(self) -> str:
        return str(self.folder)

    @property
    def address(self) -> Mapping[str, Any]:
        return {"folder": str(self.folder)}

    def create(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def refresh(self) -> None:
        """It is what it shows."""

    def problem(self, model: str) -> str:
        return ""

    def place(self, draft: Manifest, weights: Numbers, publication: Publication | None) -> Manifest:
        return placing.place(self.folder, draft, weights, publication)

    def change_aliases(self, model: str, decide: Callable[[], AliasTable], by: str, why: str = "") -> AliasTable:
        with disk.exclusive(self.folder):
            decided = decide()
            Aliases(self.folder / model).write(decided.versions, by, decided.splits, why)
        return decided

    def remove_version(self, key: VersionKey, check: Callable[[], None]) -> None:
        folder = self.folder / key.model / str(key.version)
        self._remove(folder, layout.removed_version(folder.parent, key.version), check)

    def remove_model(self, model: str) -> None:
        folder = self.folder / model
        self._remove(folder, disk.hidden_sibling(folder, layout.REMOVED), lambda: None)

    def rollouts(self, model: str) -> Mapping[str, Rollout]:
        return rollout_record.read(self.folder / model)

    @contextmanager
    def walker(self, model: str) -> Iterator[WriteRollout | None]:
        def write(rollout: Rollout) -> None:
            with disk.exclusive(self.folder):
                rollout_record.write(self.folder / model, rollout)

        with rollout_record.alone(self.folder / model) as free:
            yield write if free else None

    def sweep(self) -> None:
        """A folder that cannot be written to is left as it is."""
        try:
            with disk.exclusive(self.folder):
                leftovers.sweep(self.folder)
        except OSError as error:
            log.warning("%s cannot be locked, to remove what killed imports may have left: %s", self.folder, error.strerror)

    def fingerprint(self, key: VersionKey) -> layout.Fingerprint:
        return layout.fingerprint(self.folder / key.model / str(key.version))

    def manifest(self, key: VersionKey) -> bytes:
        """Versions of before there was a seal have none."""
        folder = self.folder / key.model / str(key.version)
        content = (folder / layout.MANIFEST_FILE).read_bytes()
        try:
            seal = (folder / layout.SEAL_FILE).read_bytes()
        except FileNotFoundError:
            return content
        if seal != layout.seal(content):
            raise RepositoryError(
                f"{folder / layout.MANIFEST_FILE} is damaged: it is not what {layout.SEAL_FILE} beside it says was published; "
                "remove the version and import the file again"
            )
        return content

    @contextmanager
    def numbers(self, key: VersionKey, file: str) -> Iterator[Path]:
        yield self.folder / key.model / str(key.version) / file

    def _remove(self, folder: Path, doomed: Path, check: Callable[[], None]) -> None:
        """Out of readers' sight first, then off the disk."""
        with ExitStack() as held:
            with disk.exclusive(self.folder):
                check()
                placing.hide(folder, doomed, held)
            placing.delete(self.folder, doomed)
