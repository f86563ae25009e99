"""Checkpoints of TensorFlow 2 that hold a Keras model's weights (save_weights to a prefix), beside its architecture.

Variables are told by the objects that hold them, from the model inwards, so that nothing hangs on their order:
layer_with_weights-1, forward_layer, cell, kernel. Knows the names in the checkpoint, not what the layers mean.
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
from cellserve.models.importers.keras.files.object_places import LAYER, OPERATIONS, find_root
from cellserve.models.importers.keras.graph import Claim, Place
from cellserve.models.importers.keras.importing import import_keras
from cellserve.models.importers.tensorflow1.checkpoint import FLOATS, Checkpoint, Entry, is_of_objects
from cellserve.models.importers.tensorflow1.object_graph import ObjectGraph

CELLS: Final = "cells"  # of a stack


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
        root = find_root(self._objects, model)
        if root is None:
            raise ImportRefused(
                self._source,
                f"no model of Keras is among its objects: nothing is called {LAYER}0 or {OPERATIONS}, and nothing has attributes "
                "that are called as the layers of the architecture, as those of a subclassed model are. Save the model itself, "
                "with model.save('model.keras'), or its weights with model.save_weights(), and import that",
            )
        self._root = root

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
        holders = self._objects.nodes[self._root.node].children.items()
        held = {
            key
            for name, holder in holders
            if self._root.is_of_layers(name)
            for key in self._objects.values_below(holder)
            if key in self._checkpoint.entries and self._is_weight(self._checkpoint.entries[key])
        }
        if left := sorted(held - used):
            raise ImportRefused(self._source, f"no layer of the architecture uses {', '.join(left)} of the checkpoint")

    def _is_weight(self, entry: Entry) -> bool:
        return entry.kind in FLOATS and (self._root.counts_single_numbers or entry.shape != ())

    def _at(self, place: Place) -> list[str]:
        """The keys of its values, in the order of get_weights()."""
        path = (*self._root.layers.get(place.keras_layer, ("",)), *_attributes(place))
        holder = self._objects.at(self._root.node, path)
        held = {} if holder is None else self._objects.values(holder)
        once = {
            key: name.lstrip("_").removeprefix("adapt_") for name, key in sorted(held.items()) if key in self._checkpoint.entries
        }  # its name, not its second one
        values = {name: key for key, name in once.items()}
        if not values:
            left_out = "; Keras 3 leaves those of stacked cells out of a tf.train.Checkpoint: use model.save_weights()"
            told = left_out if CELLS in place.part and OPERATIONS in path else ""
            raise ImportRefused(self._source, f"the checkpoint holds no weights for it{told}", layer=place.keras_layer)
        if not are_ordered(values):
            raise ImportRefused(
                self._source, f"in which order its arrays {', '.join(values)} come is not known here", layer=place.keras_layer
            )
        return [values[name] for name in of_part(list(values), ())]


def _attributes(place: Place) -> Iterator[str]:
    """The part's place in an archive, but with the cells of a stack by their numbers."""
    stacks = iter([fork.chosen for fork in place.forks if fork.siblings[0].kind])
    for before, attribute in zip(("", *place.part), place.part):
        yield str(next(stacks, 0)) if before == CELLS else attribute
