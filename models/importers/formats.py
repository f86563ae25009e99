"""The formats of model files: how each is told from what a file holds, not from its name, and what reads it.

A new format is a module that reads it and an entry of `FORMATS`. Only a checkpoint, being several files, is also told by their
names. Looks at a few bytes, or at a zip archive's list of files; unpickles nothing.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.description import Description
from cellserve.models.importers.imported import Imported, ImportedModel, Source, file_digest
from cellserve.models.importers.tensorflow1.checkpoint_location import locate

HDF5_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
TFLITE_IDENTIFIER: Final = b"TFL3"
EXPORT: Final = "archive_format"  # a member of what torch.export and AOTInductor save
LEGACY_EXPORT: Final = "serialized_exported_program.json"  # and of what torch.export saved until 2.7
TORCHSCRIPT: Final = "constants.pkl"  # beside data.pkl; torch's own loaders tell a program by this
KERAS_METADATA: Final = "keras_metadata.pb"  # of a SavedModel folder
PICKLE_PROTOCOL: Final = b"\x80"
NEWEST_PICKLE: Final = 5
LARGEST_SAFETENSORS_HEADER_BYTES: Final = 100 << 20  # the format's own limit
ACCEPTED: Final = (
    "Keras .h5 or .keras files, PyTorch state dicts as .pt or .safetensors and its programs as .pt or .pt2, Paddle .pdparams, "
    "TensorFlow 1 checkpoints by their prefix or folder (of TensorFlow 2, beside a Keras --architecture), .npz arrays with a "
    "--description, .onnx and .tflite files"
)
NEEDS_NONE: Final = "this file needs none: it says everything itself"
NO_ARCHITECTURE: Final = (
    "a Keras architecture goes with weights that Keras saved; this file holds none, and a --description may help"
)


@dataclass(frozen=True, slots=True)
class FirstLook:
    """What a file shows of itself: its size, its first bytes (none of a checkpoint's prefix), the members of a zip archive."""

    path: Path
    size_bytes: int
    head: bytes
    members: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Format:
    """told: whether a file is of this format. load: reads it, given a description and, where one goes with it, an architecture.

    no_architecture: why none goes with it; None where one does. isolated: whether a library that trusts what it reads (HDF5's,
    ONNX Runtime) reads parts of it, so that it is read in a process of its own. bytes_beside: of files that belong to it.
    """

    name: str
    told: Callable[[FirstLook], bool]
    load: Callable[[Path, Description, Path | None], Imported]
    no_architecture: str | None = NO_ARCHITECTURE
    isolated: bool = False
    bytes_beside: Callable[[Path], int] = lambda path: 0


def detect(path: Path) -> Format:
    """Raises ImportRefused: no such file, an empty one, a plain pickle, or none of the formats."""
    look = _first_look(path)
    found = next((one for one in FORMATS if one.told(look)), None)
    if found is None:
        raise ImportRefused(str(path), _why_none(look))
    return found


def _first_look(path: Path) -> FirstLook:
    source = str(path)
    if (path / KERAS_METADATA).is_file() or (not path.is_file() and locate(path) is not None):
        return FirstLook(path, 0, b"", None)
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
    return FirstLook(path, size, head, _members(path) if head.startswith(b"PK") and not _is_short_length(head) else None)


def _is_short_length(head: bytes) -> bool:
    """Whether eight bytes are a length below 16 MB and then JSON, which may begin with any two bytes."""
    return head[3:8] == bytes(5) and head[8:9] == b"{"


def _members(path: Path) -> tuple[str, ...]:
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(archive.namelist())
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        raise ImportRefused(str(path), f"the zip archive is damaged or cut short ({error}); copy the file again") from error


def _why_none(look: FirstLook) -> str:
    if look.members is not None:
        return f"this zip archive holds neither a Keras model, a PyTorch state dict nor arrays; cellserve imports {ACCEPTED}"
    if look.head[:1] in (b"(", b"]", b"}", b"c"):  # protocols 0 and 1: a plain opcode
        from cellserve.models.importers.paddle.arrays_pickle import PLAIN

        return PLAIN
    return f"this is no model file that cellserve knows; it imports {ACCEPTED}"


def _is_safetensors(look: FirstLook) -> bool:
    """Eight bytes of length, then that much JSON."""
    head = look.head
    length = int.from_bytes(head[:8], "little")
    if len(head) < 9 or head[8:9] != b"{" or length > min(look.size_bytes - 8, LARGEST_SAFETENSORS_HEADER_BYTES):
        return False
    try:
        with look.path.open("rb") as file:
            file.seek(8)
            return isinstance(json.loads(file.read(length)), dict)
    except ValueError:
        return False


def _is_torch_zip(look: FirstLook) -> bool:
    return any(name.endswith("/data.pkl") or name == "data.pkl" for name in look.members or ())


def _is_script(look: FirstLook) -> bool:
    return _is_torch_zip(look) and any(name.rpartition("/")[2] == TORCHSCRIPT for name in look.members or ())


def _is_export(look: FirstLook) -> bool:
    return LEGACY_EXPORT in (look.members or ()) or any(name.rpartition("/")[2] == EXPORT for name in look.members or ())


def _is_pickle(look: FirstLook) -> bool:
    return look.head.startswith(PICKLE_PROTOCOL) and 2 <= look.head[1] <= NEWEST_PICKLE


def _is_arrays(look: FirstLook) -> bool:
    return bool(look.members) and all(name.endswith(".npy") for name in look.members or ())


def _is_saved_model(look: FirstLook) -> bool:
    return look.path.is_dir() and (look.path / KERAS_METADATA).is_file()


def _is_checkpoint(look: FirstLook) -> bool:
    return look.members is None and locate(look.path) is not None


def _is_onnx(look: FirstLook) -> bool:
    from cellserve.models.importers.onnx.first_look import is_onnx

    return is_onnx(look.path, look.size_bytes, look.head)


def _load_h5(path: Path, description: Description, architecture: Path | None) -> ImportedModel:
    from cellserve.models.importers.keras.files.h5 import load_h5

    return load_h5(path, description, architecture)


def _load_archive(path: Path, description: Description, architecture: Path | None) -> ImportedModel:
    from cellserve.models.importers.keras.files.archive import load_archive

    return load_archive(path, description)


def _load_saved_model(path: Path, description: Description, architecture: Path | None) -> ImportedModel:
    from cellserve.models.importers.keras.files.saved_model import load_saved_model

    return load_saved_model(path, description)


def _load_checkpoint(path: Path, description: Description, architecture: Path | None) -> ImportedModel:
    from cellserve.models.importers.tensorflow1.importing import load_checkpoint

    prefix = locate(path) or path
    if architecture is not None:
        from cellserve.models.importers.keras.files.objects import load_objects

        return load_objects(prefix, description, architecture)
    return load_checkpoint(prefix, description)


def _load_arrays(path: Path, description: Description, architecture: Path | None) -> ImportedModel:
    from cellserve.models.importers.arrays.npz import read_npz
    from cellserve.models.importers.ignored import without_ignored

    if architecture is not None:
        from cellserve.models.importers.keras.files.h5 import load_lists

        return load_lists(path, read_npz(path), description, architecture)
    from cellserve.models.importers.arrays.described_layers import from_layers

    arrays, notes = without_ignored(read_npz(path), description.ignore or (), str(path))
    return from_layers(path, arrays, description, Source("arrays", "", path.name, file_digest(path)), notes)


def _load_torch_zip(path: Path, description: Description, architecture: Path | None) -> ImportedModel:
    from cellserve.models.importers.pytorch.file import read_torch_zip
    from cellserve.models.importers.pytorch.state_dict import from_state_dict

    return from_state_dict(path, read_torch_zip(path).without(description.ignore or (), str(path)), description)


def _load_script(path: Path, description: Description, architecture: Path | None) -> Imported:
    from cellserve.models.importers.pytorch.script.importing import load_script

    return load_script(path, description)


def _load_export(path: Path, description: Description, architecture: Path | None) -> Imported:
    from cellserve.models.importers.pytorch.export.importing import load_export

    return load_export(path, description)


def _load_paddle(path: Path, description: Description, architecture: Path | None) -> ImportedModel:
    from cellserve.models.importers.paddle.file import read_pdparams
    from cellserve.models.importers.pytorch.state_dict import from_state_dict

    return from_state_dict(path, read_pdparams(path).without(description.ignore or (), str(path)), description, "paddle")


def _load_safetensors(path: Path, description: Description, architecture: Path | None) -> ImportedModel:
    from cellserve.models.importers.pytorch.file import read_safetensors
    from cellserve.models.importers.pytorch.state_dict import from_state_dict

    return from_state_dict(path, read_safetensors(path).without(description.ignore or (), str(path)), description)


def _load_onnx(path: Path, description: Description, architecture: Path | None) -> Imported:
    from cellserve.models.importers.onnx.choice import load_graph

    return load_graph(path, description)


def _load_tflite(path: Path, description: Description, architecture: Path | None) -> ImportedModel:
    from cellserve.models.importers.tflite.importing import load_tflite

    return load_tflite(path, description)


def _onnx_data_bytes(path: Path) -> int:
    from cellserve.models.importers.onnx.file import data_bytes

    return data_bytes(path)


FORMATS: Final = (
    Format("keras_h5", lambda look: look.head.startswith(HDF5_SIGNATURE), _load_h5, None, isolated=True),
    Format(
        "keras_archive",
        lambda look: "config.json" in (look.members or ()),
        _load_archive,
        NEEDS_NONE,
        isolated=True,
    ),
    Format("torch_export", _is_export, _load_export, NEEDS_NONE, isolated=True),
    Format("torch_script", _is_script, _load_script, NEEDS_NONE, isolated=True),
    Format("torch_zip", _is_torch_zip, _load_torch_zip),
    Format("safetensors", _is_safetensors, _load_safetensors),  # before pickles, whose first two bytes its length may be
    Format("paddle", _is_pickle, _load_paddle),
    Format("arrays", _is_arrays, _load_arrays, None),
    Format("saved_model", _is_saved_model, _load_saved_model, NEEDS_NONE),
    Format("checkpoint", _is_checkpoint, _load_checkpoint, None),
    Format("tflite", lambda look: look.head[4:8] == TFLITE_IDENTIFIER, _load_tflite, NEEDS_NONE, isolated=True),
    Format("onnx", _is_onnx, _load_onnx, NEEDS_NONE, True, _onnx_data_bytes),
)
