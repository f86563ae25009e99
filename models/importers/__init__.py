"""Model files of other frameworks into canonical networks: one file of this folder for each kind of file.

Nothing is ever unpickled or executed; what cannot be served exactly is refused with the layer, the option and what to do.
"""

from __future__ import annotations

from pathlib import Path

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.description import Description, load_description
from cellserve.models.importers.detect import FileKind, detect
from cellserve.models.importers.imported import ImportedModel, Source, file_digest

__all__ = ["ImportedModel", "Source", "load"]


def load(path: Path, *, architecture: Path | None = None, description: Path | None = None) -> ImportedModel:
    """The model of one file, whatever framework wrote it: its kind is told from its content.

    `architecture`: Keras JSON or YAML for an .h5 file that holds weights alone, for the arrays of one in an .npz, or for a
    checkpoint of TensorFlow 2.
    `description`: YAML or JSON with what an old Keras file, a PyTorch state dict, a TensorFlow checkpoint or arrays do not say
    (`Description`). Raises ImportRefused naming the file, the layer and the option, and what to do.
    """
    kind = detect(path)
    if architecture is not None and kind not in (FileKind.KERAS_H5, FileKind.ARRAYS, FileKind.CHECKPOINT):
        raise ImportRefused(str(path), _why_no_architecture(kind), option="--architecture")
    described = Description() if description is None else load_description(description)
    if kind is FileKind.KERAS_ARCHIVE:
        from cellserve.models.importers.keras_archive import load_archive

        return load_archive(path, described)
    if kind is FileKind.KERAS_H5:
        from cellserve.models.importers.keras_h5 import load_h5

        return load_h5(path, described, architecture)
    if kind is FileKind.CHECKPOINT:
        return _load_checkpoint(path, described, architecture)
    if kind is FileKind.ARRAYS:
        return _load_arrays(path, described, architecture)
    return _load_torch(path, kind, described)


def _why_no_architecture(kind: FileKind) -> str:
    if kind is FileKind.KERAS_ARCHIVE:
        return "this file needs none: it says everything itself"
    return "a Keras architecture goes with weights that Keras saved; this file holds none, and a --description may help"


def _load_checkpoint(path: Path, description: Description, architecture: Path | None) -> ImportedModel:
    from cellserve.models.importers.checkpoint_location import locate
    from cellserve.models.importers.tensorflow1 import load_checkpoint

    prefix = locate(path) or path
    if architecture is not None:
        from cellserve.models.importers.keras_objects import load_objects

        return load_objects(prefix, description, architecture)
    return load_checkpoint(prefix, description)


def _load_arrays(path: Path, description: Description, architecture: Path | None) -> ImportedModel:
    from cellserve.models.importers.arrays import read_npz
    from cellserve.models.importers.ignored import without_ignored

    if architecture is not None:
        from cellserve.models.importers.keras_h5 import load_lists

        return load_lists(path, read_npz(path), description, architecture)
    from cellserve.models.importers.described_layers import from_layers

    arrays, notes = without_ignored(read_npz(path), description.ignore or (), str(path))
    return from_layers(path, arrays, description, Source("arrays", "", path.name, file_digest(path)), notes)


def _load_torch(path: Path, kind: FileKind, description: Description) -> ImportedModel:
    from cellserve.models.importers.pytorch import from_state_dict
    from cellserve.models.importers.torch_file import is_program, read_safetensors, read_torch_zip

    if kind is FileKind.TORCH_ZIP and is_program(path):
        from cellserve.models.importers.torch_script import load_script

        return load_script(path, description)
    read = read_torch_zip if kind is FileKind.TORCH_ZIP else read_safetensors
    return from_state_dict(path, read(path).without(description.ignore or (), str(path)), description)
