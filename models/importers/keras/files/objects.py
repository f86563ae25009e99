"""Checkpoints of TensorFlow 2 that hold a Keras model's weights (save_weights to a prefix), beside its architecture.

Variables are told by the objects that hold them, from the model inwards, so that nothing hangs on their order:
layer_with_weights-1, forward_layer, cell, kernel. Layers are numbered in the model's order, without those that have no arrays.
Those of a subclassed model are called after its attributes; so are they in the architecture that a person wrote for it.
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
from cellserve.models.importers.keras.files.names import are_ordered, of_part
from cellserve.models.importers.keras.files.tied import MODELS, layer_name, layers_of
from cellserve.models.importers.keras.graph import Claim, Place
from cellserve.models.importers.keras.importing import import_keras
from cellserve.models.importers.keras.layers.recurrent import CLASSES
from cellserve.models.importers.tensorflow1.checkpoint import FLOATS, Checkpoint, Entry, is_of_objects
from cellserve.models.importers.tensorflow1.object_graph import ObjectGraph

LAYER: Final = "layer_with_weights-"
TRAINING: Final = frozenset(
    {"optimizer", "keras_api", "compiled_loss", "compiled_metrics"}
)  # attributes of a model beside its layers
HOLDERS: Final = frozenset(
    {
        *CLASSES,
        "Bidirectional",
        "Dense",
        "Embedding",
        "Conv1D",
        "BatchNormalization",
        "PReLU",
        "Conv2D",
        "AdditiveAttention",
    }
)


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
    """Arrays by the paths of the objects that hold them, as the checkpoint's own graph of objects has them."""

    def __init__(self, checkpoint: Checkpoint, model: Mapping[str, Any]) -> None:
        self._checkpoint = checkpoint
        self._source = str(checkpoint.prefix)
        self._objects = ObjectGraph.of(checkpoint)
        holders = [raw for raw in layers_of(model) if _holds_arrays(raw)]
        names = [layer_name(raw) for raw in holders]
        numbered = self._objects.holder(lambda children: any(name.startswith(LAYER) for name in children))
        root = (
            numbered
            if numbered is not None
            else self._objects.holder(lambda children: 0 < len(names) == len(set(names) & set(children)))
        )
        if root is None:
            raise ImportRefused(
                self._source,
                f"no model of tf.keras is among its objects: nothing is called {LAYER}0, and nothing has {', '.join(names)} as "
                "attributes, after which the layers of a subclassed model are called. Save the model itself, with "
                "model.save('model.keras'), or its weights with model.save_weights(), and import that",
            )
        self._root = root  # the model, in a checkpoint that may hold more
        self._is_numbered = numbered is not None
        self._layers = dict(_places(holders, None if self._is_numbered else names, (), ()))

    def shapes(self, place: Place) -> list[tuple[int, ...]]:
        return [self._checkpoint.entries[key].shape for key in self._at(place)]

    def arrays(self, claim: Claim) -> list[npt.NDArray[Any]]:
        keys = self._at(claim.place)
        if len(keys) != claim.count:
            raise ImportRefused(
                self._source,
                f"it needs {claim.count} weight arrays and the checkpoint holds {len(keys)} for it",
                layer=claim.place.keras_layer,
            )
        return [self._checkpoint.read(key) for key in keys]

    def misplaced_by_loading(self, claims: Sequence[Claim]) -> list[str]:
        """Loading goes by names too."""
        return []

    def require_all_used(self, claims: Sequence[Claim]) -> None:
        """But for numbers of random generators."""
        used = {key for claim in claims for key in self._at(claim.place)}
        children = self._objects.nodes[self._root].children
        of_layers = [child for name, child in children.items() if self._is_layer(name)]
        held = {
            key
            for child in of_layers
            for key in self._objects.values_below(child)
            if key in self._checkpoint.entries and self._is_weight(self._checkpoint.entries[key])
        }
        if left := sorted(held - used):
            raise ImportRefused(self._source, f"no layer of the architecture uses {', '.join(left)} of the checkpoint")

    def _is_weight(self, entry: Entry) -> bool:
        """A model's metrics are among the attributes of a subclassed one; they count in single numbers."""
        return entry.kind in FLOATS and (self._is_numbered or entry.shape != ())

    def _is_layer(self, attribute: str) -> bool:
        return attribute.startswith(LAYER) if self._is_numbered else attribute not in TRAINING

    def _at(self, place: Place) -> list[str]:
        """The keys of its values, in the order of get_weights()."""
        path = (*self._layers.get(place.keras_layer, ("",)), *_attributes(place))
        holder = self._objects.at(self._root, path)
        held = {} if holder is None else self._objects.values(holder)
        once = {
            key: name for name, key in sorted(held.items()) if key in self._checkpoint.entries
        }  # its name, not its second one
        values = {name: key for key, name in once.items()}
        if not values:
            raise ImportRefused(self._source, "the checkpoint holds no weights for it", layer=place.keras_layer)
        if not are_ordered(values):
            raise ImportRefused(
                self._source, f"in which order its arrays {', '.join(values)} come is not known here", layer=place.keras_layer
            )
        return [values[name] for name in of_part(list(values), ())]


def _attributes(place: Place) -> Iterator[str]:
    """The part's place in an archive, but with the cells of a stack by their numbers."""
    stacks = iter([fork.chosen for fork in place.forks if fork.siblings[0].kind])
    for before, attribute in zip(("", *place.part), place.part):
        yield str(next(stacks, 0)) if before == "cells" else attribute


def _places(
    holders: Sequence[Mapping[str, Any]], attributes: Sequence[str] | None, around: tuple[str, ...], path: tuple[str, ...]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each layer that holds arrays, "model/lstm" in a model inside, and the objects that lead to it.

    `attributes`: what the holders are called; None: by their numbers.
    """
    for number, raw in enumerate(holders):
        name, there = (*around, layer_name(raw)), (*path, f"{LAYER}{number}" if attributes is None else attributes[number])
        yield "/".join(name), there
        inside = raw
        if raw.get("class_name") == "TimeDistributed":
            inside, there = raw["config"].get("layer") or {}, (*there, "layer")
        if inside.get("class_name") in MODELS:
            yield from _places([inner for inner in layers_of(inside) if _holds_arrays(inner)], None, name, there)


def _holds_arrays(raw: Mapping[str, Any]) -> bool:
    class_name, config = raw.get("class_name"), raw.get("config")
    if class_name in MODELS:
        return any(map(_holds_arrays, layers_of(raw)))
    if not isinstance(config, Mapping):
        return False
    if class_name == "TimeDistributed":
        return _holds_arrays(config.get("layer") or {})
    if class_name == "Attention":
        return bool(config.get("use_scale")) or config.get("score_mode") == "concat"
    if class_name == "Normalization":
        return config.get("mean") is None  # else its configuration says both
    if class_name == "LayerNormalization":
        return bool(config.get("center", True) or config.get("scale", True))
    return class_name in HOLDERS
