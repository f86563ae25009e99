"""Where a TensorFlow checkpoint is, from whatever a person names: its prefix, any of its files, or the folder it lies in.

A checkpoint is several files, so its names count here: `<prefix>.index`, `<prefix>.data-*`, `<prefix>.meta`, and a folder's
`checkpoint`, which names the prefix of the latest save. Reads a few bytes; knows nothing of what a checkpoint holds.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.tensorflow1.checkpoint import Checkpoint, index_file, is_of_objects
from cellserve.models.importers.tensorflow1.checkpoint_table import FOOTER_BYTES, is_table

LATEST: Final = "checkpoint"
MAX_LATEST_BYTES: Final = 1 << 20
PART: Final = re.compile(r"(.+)\.(index|meta|data-\d{5,}-of-\d{5,})")
LATEST_PREFIX: Final = re.compile(r'^model_checkpoint_path:\s*"([^"\n]+)"', re.MULTILINE)


def locate(path: Path) -> Path | None:
    """The prefix of the checkpoint that `path` means; None where it means none.

    Raises ImportRefused: a folder with none or several, an index that is missing, a checkpoint in TensorFlow's first format.
    """
    if path.is_dir():
        return _in_folder(path)
    if path.name == LATEST:
        latest = _latest(path)
        return None if latest is None else _existing(path, latest)
    part = PART.fullmatch(path.name)
    if part is not None and _is_checkpoint_part(path, part[2]):
        return _existing(path, path.with_name(part[1]))
    if index_file(path).is_file():
        return path
    if path.is_file() and _ends_as_table(path):
        raise ImportRefused(
            str(path),
            "this looks like a checkpoint of TensorFlow's first format (a single file, written before 0.12 or with "
            "write_version=V1); restore it where it was made and save it with tf.train.Saver's present default",
        )
    return None


def _in_folder(folder: Path) -> Path:
    latest = _latest(folder / LATEST)
    if latest is not None:
        return _existing(folder, latest)
    indices = sorted(folder.glob("*.index"))
    if len(indices) == 1:
        return indices[0].with_suffix("")
    if indices:
        names = ", ".join(index.stem for index in indices[:10])
        raise ImportRefused(str(folder), f"this folder holds several checkpoints ({names}); name one of them")
    if (folder / "saved_model.pb").is_file() or (folder / "variables" / "variables.index").is_file():
        raise ImportRefused(str(folder), _of_saved_model(folder))
    raise ImportRefused(
        str(folder), "this folder holds no TensorFlow checkpoint (no `checkpoint` file and no *.index); name the model's file"
    )


def _of_saved_model(folder: Path) -> str:
    """What to do with a folder that holds a traced program, which is never run, and variables."""
    weights = folder / "variables" / "variables"
    if index_file(weights).is_file() and not is_of_objects(Checkpoint.open(weights)):
        return "this is a SavedModel; its weights are the checkpoint variables/variables in it, name that"
    return (
        "this is a SavedModel, a traced program, which is never run, and nothing in it describes the layers; where the model was "
        "made, save the model itself with model.save('model.keras') and import that file (model.export() leaves the layers out)"
    )


def _latest(listing: Path) -> Path | None:
    """The prefix that a folder's `checkpoint` file names, in that folder: the path in it is often another machine's."""
    try:
        if not listing.is_file() or listing.stat().st_size > MAX_LATEST_BYTES:
            return None
        named = LATEST_PREFIX.search(listing.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        raise ImportRefused(str(listing), f"the file cannot be read: {error.strerror or error}") from error
    base = re.split(r"[/\\]", named[1])[-1] if named is not None else ""
    return listing.with_name(base) if base else None


def _existing(given: Path, prefix: Path) -> Path:
    if not index_file(prefix).is_file():
        raise ImportRefused(
            str(given), f"a checkpoint needs its index beside its data, and there is no {index_file(prefix).name}; copy that too"
        )
    return prefix


def _is_checkpoint_part(path: Path, ending: str) -> bool:
    """A .meta or .data file is nothing else; an .index may be another program's, unless it is damaged beyond telling."""
    return path.is_file() and (ending != "index" or _ends_as_table(path) or any(path.parent.glob(f"{path.stem}.data-*")))


def _ends_as_table(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - FOOTER_BYTES))
        return is_table(file.read(FOOTER_BYTES))
