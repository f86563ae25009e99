"""Checkpoints of TensorFlow 2 that hold a Keras model's weights (save_weights to a prefix), beside its architecture.

Variables are named after the objects that hold them, from the model inwards, so that nothing hangs on their order:
"layer_with_weights-1/forward_layer/cell/kernel". Layers are numbered in the model's order, without those that have no arrays.
Source: tf_keras/src/engine/functional.py. Knows the names in the checkpoint, not what the layers mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.description import Description
from cellserve.models.importers.imported import ImportedModel
from cellserve.models.importers.keras.files.architecture import read_architecture
from cellserve.models.importers.keras.files.names import of_part
from cellserve.models.importers.keras.graph import Claim, Place
from cellserve.models.importers.keras.importing import import_keras
from cellserve.models.importers.keras.layers.recurrent import CLASSES
from cellserve.models.importers.tensorflow1.checkpoint import Checkpoint, is_of_objects

VALUE: Final = "/.ATTRIBUTES/VARIABLE_VALUE"
LAYER: Final = "layer_with_weights-"
HOLDERS: Final = frozenset({*CLASSES, "Bidirectional", "Dense", "Embedding", "Conv1D", "BatchNormalization", "PReLU"})


def load_objects(prefix: Path, description: Description, architecture: Path) -> ImportedModel:
    """Raises ImportRefused: a checkpoint of TensorFlow 1, damage, or anything the model asks for that is not supported."""
    checkpoint = Checkpoint.open(prefix)
    if not is_of_objects(checkpoint):
        raise ImportRefused(
            str(prefix),
            "a Keras architecture does not go with a checkpoint of TensorFlow 1, whose scopes tell",
            option="--architecture",
        )
    model = read_architecture(architecture)
    version = model.get("keras_version")
    return import_keras(
        prefix,
        model,
        ObjectStore(checkpoint, model),
        description,
        keeper=architecture,
        version=None if version is None else str(version),
        backend=None,
        files=checkpoint.files(),
    )


class ObjectStore:
    """Arrays by the paths of the objects that hold them."""

    def __init__(self, checkpoint: Checkpoint, model: Mapping[str, Any]) -> None:
        self._checkpoint = checkpoint
        self._source = str(checkpoint.prefix)
        named = (
            name.removesuffix(VALUE) for name in checkpoint.entries if name.endswith(VALUE) and "/.OPTIMIZER_SLOT/" not in name
        )
        found = [name.partition(LAYER) for name in named if LAYER in name]
        self._root = found[0][0] if found else ""  # of the model in a checkpoint that holds more
        self._names = [LAYER + rest for root, _, rest in found if root == self._root]
        holders = [raw for raw in _layers(model) if _holds_arrays(raw)]
        self._layers = {str(raw.get("name") or raw["config"]["name"]): f"{LAYER}{n}" for n, raw in enumerate(holders)}

    def shapes(self, place: Place) -> list[tuple[int, ...]]:
        return [self._checkpoint.entries[self._entry(name)].shape for name in self._at(place)]

    def arrays(self, claim: Claim) -> list[npt.NDArray[Any]]:
        names = self._at(claim.place)
        if len(names) != claim.count:
            raise ImportRefused(
                self._source,
                f"it needs {claim.count} weight arrays and the checkpoint holds {len(names)} for it",
                layer=claim.place.keras_layer,
            )
        return [self._checkpoint.read(self._entry(name)) for name in names]

    def misplaced_by_loading(self, claims: Sequence[Claim]) -> list[str]:
        """Loading goes by names too."""
        return []

    def require_all_used(self, claims: Sequence[Claim]) -> None:
        left = set(self._names) - {name for claim in claims for name in self._at(claim.place)}
        if left:
            raise ImportRefused(self._source, f"no layer of the architecture uses {', '.join(sorted(left))} of the checkpoint")

    def _at(self, place: Place) -> list[str]:
        layer = self._layers.get(place.keras_layer, "")
        holder = "/".join((layer, *_attributes(place)))
        names = [name for name in self._names if name.rpartition("/")[0] == holder]
        if not names:
            raise ImportRefused(self._source, "the checkpoint holds no weights for it", layer=place.keras_layer)
        return of_part(names, ())

    def _entry(self, name: str) -> str:
        return f"{self._root}{name}{VALUE}"


def _attributes(place: Place) -> Iterator[str]:
    """The part's place in an archive, but with the cells of a stack by their numbers."""
    stacks = iter([fork.chosen for fork in place.forks if fork.siblings[0].kind])
    for before, attribute in zip(("", *place.part), place.part):
        yield str(next(stacks, 0)) if before == "cells" else attribute


def _layers(model: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    config = model.get("config")
    raws = config.get("layers", []) if isinstance(config, Mapping) else config
    return [raw for raw in raws or [] if isinstance(raw, Mapping)]


def _holds_arrays(raw: Mapping[str, Any]) -> bool:
    class_name, config = raw.get("class_name"), raw.get("config")
    if not isinstance(config, Mapping):
        return False
    if class_name == "TimeDistributed":
        return _holds_arrays(config.get("layer") or {})
    if class_name == "LayerNormalization":
        return bool(config.get("center", True) or config.get("scale", True))
    return class_name in HOLDERS
