"""Which kind of file this is, by what it holds and not by its name; only a checkpoint, being several files, is also told by them.

Reads a few bytes; unpickles nothing.
"""

from __future__ import annotations

import json
import zipfile
from enum import Enum
from pathlib import Path
from typing import Final

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.checkpoint_location import locate

HDF5_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
PICKLE_PROTOCOL: Final = b"\x80"
LARGEST_SAFETENSORS_HEADER_BYTES: Final = 100 << 20  # the format's own limit
ACCEPTED: Final = (
    "Keras .h5 or .keras files, PyTorch state dicts as .pt or .safetensors, TensorFlow 1 checkpoints by their prefix or folder "
    "(of TensorFlow 2, beside a Keras --architecture), and .npz arrays with a --description"
)


class FileKind(Enum):
    KERAS_H5 = "keras_h5"
    KERAS_ARCHIVE = "keras_archive"
    TORCH_ZIP = "torch_zip"
    SAFETENSORS = "safetensors"
    CHECKPOINT = "checkpoint"
    ARRAYS = "arrays"


def detect(path: Path) -> FileKind:
    """Raises ImportRefused: no such file, an empty one, a plain pickle, or none of the kinds above."""
    source = str(path)
    if not path.is_file() and locate(path) is not None:
        return FileKind.CHECKPOINT
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ImportRefused(source, f"this is not a file; cellserve imports {ACCEPTED}")
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise ImportRefused(source, f"the file cannot be read: {error.strerror or error}") from error
    if not head:
        raise ImportRefused(source, "the file is empty")
    if head.startswith(HDF5_SIGNATURE):
        return FileKind.KERAS_H5
    if head.startswith(b"PK"):
        return _inside_zip(path)
    if _is_safetensors(head, size, path):
        return FileKind.SAFETENSORS
    if locate(path) is not None:
        return FileKind.CHECKPOINT
    if head.startswith(PICKLE_PROTOCOL) or _looks_like_old_torch(head):
        raise ImportRefused(
            source,
            "this is a plain pickle, which can run code when it is read, so it is never opened. Load it where it was made "
            "and save the weights as safetensors, or with torch.save(model.state_dict(), path) of PyTorch 1.6 or newer",
        )
    raise ImportRefused(source, f"this is no model file that cellserve knows; it imports {ACCEPTED}")


def _inside_zip(path: Path) -> FileKind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        raise ImportRefused(str(path), f"the zip archive is damaged or cut short ({error}); copy the file again") from error
    if "config.json" in names:
        return FileKind.KERAS_ARCHIVE
    if any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
        return FileKind.TORCH_ZIP
    if names and all(name.endswith(".npy") for name in names):
        return FileKind.ARRAYS
    if any(name.rpartition("/")[2] == "archive_format" for name in names):
        raise ImportRefused(
            str(path),
            "this is a program of torch.export (.pt2), which is never run. Where you trust it, take its weights out, and import "
            f'those: torch.save(torch.export.load("{path.name}").state_dict, "{path.stem}.weights.pt")',
        )
    raise ImportRefused(
        str(path), f"this zip archive holds neither a Keras model, a PyTorch state dict nor arrays; cellserve imports {ACCEPTED}"
    )


def _is_safetensors(head: bytes, size: int, path: Path) -> bool:
    """Eight bytes of length, then that much JSON."""
    length = int.from_bytes(head[:8], "little")
    if len(head) < 9 or head[8:9] != b"{" or length > min(size - 8, LARGEST_SAFETENSORS_HEADER_BYTES):
        return False
    try:
        with path.open("rb") as file:
            file.seek(8)
            return isinstance(json.loads(file.read(length)), dict)
    except ValueError:
        return False


def _looks_like_old_torch(head: bytes) -> bool:
    """Pickles of protocols 0 and 1 begin with a plain opcode."""
    return head[:1] in (b"(", b"]", b"}", b"c")
