"""A version's way onto the disk and off it, so that a reader sees all of it or nothing, and a crash leaves what the next writer
may remove. Whoever stages or deletes holds the folder's lock meanwhile. Knows no aliases.
"""

from __future__ import annotations

import logging
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from cellserve.models.description.step_model import StepModel
from cellserve.service import disk
from cellserve.service.registry.manifest import Manifest
from cellserve.service.registry.repository import layout, leftovers, publications
from cellserve.service.registry.repository.publications import Publication

if TYPE_CHECKING:
    from cellserve.models.served import Numbers

log = logging.getLogger(__name__)


def place(root: Path, draft: Manifest, weights: Numbers, publication: Publication | None = None) -> Manifest:
    """Stages beside, forces to disk, then gives the number and renames under the lock. Raises OSError.

    publication: of which it comes; one that has become a version meanwhile does not become another, and that one is given.
    """
    folder = root / draft.model
    with ExitStack() as held:
        with disk.exclusive(root):
            leftovers.sweep(root)
            staged = disk.hidden_sibling(folder, disk.STAGING)
            staged.mkdir()
            held.enter_context(disk.if_free(staged))
        try:
            numbers = layout.GRAPH_FILE if isinstance(draft.spec, StepModel) else layout.WEIGHTS_FILE
            weights.save(staged / numbers)
            disk.sync(staged / numbers)
            if publication is not None:
                disk.write_file(staged / publications.PUBLICATION_FILE, publication.model_dump_json().encode())
            with disk.exclusive(root):
                if publication is not None and (known := publications.find(folder, publication.publication_id)) is not None:
                    shutil.rmtree(staged)
                    return Manifest.model_validate_json((folder / str(known) / layout.MANIFEST_FILE).read_bytes())
                manifest = draft.model_copy(update={"version": layout.next_number(folder)})
                content = manifest.to_json()
                disk.write_file(staged / layout.MANIFEST_FILE, content)
                disk.write_file(staged / layout.SEAL_FILE, layout.seal(content))
                disk.sync(staged)
                folder.mkdir(exist_ok=True)
                staged.rename(folder / str(manifest.version))
                disk.sync(folder)
                disk.sync(root)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
    return manifest


def hide(folder: Path, doomed: Path, held: ExitStack) -> Path:
    """Takes a model's or version's folder out of readers' sight, under the repository's lock. Gives `doomed`, held."""
    folder.rename(doomed)
    held.enter_context(disk.if_free(doomed))
    disk.sync(folder.parent)
    return doomed


def delete(root: Path, doomed: Path) -> None:
    """What was hidden. Its content first: on a full disk its number can only be noted in the room that this makes.

    Raises OSError.
    """
    for entry in list(doomed.iterdir()):
        disk.delete(entry)
    with disk.exclusive(root):
        try:
            layout.remember_number(doomed)
        except OSError as error:
            if error.errno not in disk.FULL:
                raise
            log.warning("%s stays, empty, until the disk has room to note its number", doomed)
            return
    disk.delete(doomed)
