"""Model files of other frameworks into canonical networks: one file of this folder for each kind of file.

Nothing is ever unpickled or executed; what cannot be served exactly is refused with the layer, the option and what to do.
"""

from __future__ import annotations

from pathlib import Path

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.description import Description, load_description
from cellserve.models.importers.formats import detect
from cellserve.models.importers.imported import ImportedModel, Source

__all__ = ["ImportedModel", "Source", "load"]


def load(
    path: Path, *, architecture: Path | None = None, description: Path | None = None, dequantize: bool = False
) -> ImportedModel:
    """The model of one file, whatever framework wrote it: its format is told from its content.

    `architecture`: Keras JSON or YAML for an .h5 file that holds weights alone, for the arrays of one in an .npz, or for a
    checkpoint of TensorFlow 2.
    `description`: YAML or JSON with what an old Keras file, a PyTorch state dict, a TensorFlow checkpoint or arrays do not say
    (`Description`). `dequantize`: as if that said so. Raises ImportRefused naming the file, the layer and the option, and what
    to do.
    """
    found = detect(path)
    if architecture is not None and found.no_architecture is not None:
        raise ImportRefused(str(path), found.no_architecture, option="--architecture")
    said = Description() if description is None else load_description(description)
    return found.load(path, said.model_copy(update={"dequantize": True}) if dequantize else said, architecture)
