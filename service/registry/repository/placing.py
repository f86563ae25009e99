"""A version's way onto the disk and off it, so that a reader sees all of it or nothing, and a crash leaves what the next writer
may remove. Whoever stages or deletes holds the folder's lock meanwhile. Knows no aliases.
"""

from __future__ import annotations

import logging
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from cellserve.service import disk
from cellserve.service.registry.manifest import Manifest
from cellserve.service.registry.repository import layout, leftovers

if TYPE_CHECKING:
    from cellserve.models.weights import Weights

log = logging.getLogger(__name__)


def place(root: Path, draft: Manifest, weights: Weights) -> Manifest:
    """Stages beside, forces to disk, then gives the number and renames under the lock. Raises OSError."""
    folder = root / draft.model
    with ExitStack() as held:
        with disk.exclusive(root):
            leftovers.sweep(root)
            staged = disk.hidden_sibling(folder, disk.STAGING)
            staged.mkdir()
            held.enter_context(disk.if_free(staged))
        try:
            weights.save(staged / layout.WEIGHTS_FILE)
            disk.sync(staged / layout.WEIGHTS_FILE)
            with disk.exclusive(root):
                manifest = draft.model_copy(update={"version": layout.next_number(folder)})
                disk.write_file(staged / layout.MANIFEST_FILE, manifest.to_json())
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
