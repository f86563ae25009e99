"""SavedModel folders of tf.keras: the configuration that Keras wrote beside the program, and the checkpoint of the variables.

The program itself (saved_model.pb) is read for the release that wrote it and for nothing else. Sources:
tf_keras/src/protobuf/saved_metadata.proto, tensorflow/core/protobuf/saved_model.proto. Knows no layers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.description import Description
from cellserve.models.importers.imported import ImportedModel
from cellserve.models.importers.keras.files.objects import ObjectStore
from cellserve.models.importers.keras.importing import import_keras
from cellserve.models.importers.limits import MAX_JSON_BYTES
from cellserve.models.importers.tensorflow1.checkpoint import Checkpoint
from cellserve.models.importers.tensorflow1.protobuf_wire import Damaged, content, fields

METADATA: Final = "keras_metadata.pb"
PROGRAM: Final = "saved_model.pb"
MAX_PROGRAM_BYTES: Final = 256 << 20
NODES, NODE_PATH, NODE_METADATA = 1, 3, 5  # of SavedMetadata and its SavedObject
META_GRAPHS, META_INFO, TENSORFLOW_VERSION = 2, 1, 5


def load_saved_model(folder: Path, description: Description) -> ImportedModel:
    """Raises ImportRefused: damaged, or anything the model asks for that is not supported."""
    model = _model(folder / METADATA)
    checkpoint = Checkpoint.open(folder / "variables" / "variables")
    return import_keras(
        folder,
        model,
        ObjectStore(checkpoint, model),
        description,
        keeper=folder / METADATA,
        version=_version(folder / PROGRAM),
        backend=None,
        files=(folder / METADATA, *checkpoint.files()),
    )


def _model(path: Path) -> Mapping[str, Any]:
    """The root object's own JSON: {"class_name": "Functional", "config": …} among other things."""
    try:
        for number, node in fields(_bytes(path, MAX_JSON_BYTES)):
            entry = dict(fields(content(node))) if number == NODES else {}
            if entry.get(NODE_PATH) == b"root":
                model = _plain(json.loads(content(entry.get(NODE_METADATA, b""))))
                if isinstance(model, dict) and "config" in model:
                    return model
    except (Damaged, ValueError, RecursionError) as error:
        raise ImportRefused(str(path), f"the file is damaged or cut short ({error}); copy the folder again") from error
    raise ImportRefused(
        str(path),
        "it describes no Sequential or functional model (a subclassed one keeps its layers in its program, which is never run); "
        "save its weights with save_weights() and describe them",
    )


def _plain(value: Any) -> Any:
    """Without the marks that keep tuples apart from lists."""
    if isinstance(value, dict):
        if value.get("class_name") == "__tuple__":
            return _plain(value.get("items", []))
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _version(path: Path) -> str | None:
    """TensorFlow's, which is its Keras's too."""
    try:
        for number, graph in fields(_bytes(path, MAX_PROGRAM_BYTES)):
            info = dict(fields(content(graph))).get(META_INFO) if number == META_GRAPHS else None
            written = dict(fields(content(info))).get(TENSORFLOW_VERSION) if info is not None else None
            if written is not None:
                return content(written).decode("utf-8")
    except (Damaged, ValueError) as error:
        raise ImportRefused(str(path), f"the file is damaged or cut short ({error}); copy the folder again") from error
    return None


def _bytes(path: Path, limit: int) -> bytes:
    try:
        if path.stat().st_size > limit:
            raise ImportRefused(
                str(path), f"a file of {path.stat().st_size:,} bytes is not believable here; the limit is {limit:,}"
            )
        return path.read_bytes()
    except OSError as error:
        raise ImportRefused(str(path), f"the file cannot be read: {error.strerror or error}") from error
