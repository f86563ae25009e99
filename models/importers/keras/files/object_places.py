"""What a checkpoint of TensorFlow 2 calls the layers of a Keras model, and where in its graph of objects the model is.

tf.keras numbers those that have arrays, in the model's order; Keras 3 everything that a model runs; those of a subclassed model
are called after its attributes, and so are they in the architecture that a person wrote for it. Sources:
tf_keras/src/engine/functional.py, keras/src/models/functional.py. Knows names; no arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cellserve.models.importers.keras.files.tied import MODELS, layer_name, layers_of
from cellserve.models.importers.keras.layers.recurrent import CLASSES
from cellserve.models.importers.tensorflow1.object_graph import ObjectGraph

Raw = Mapping[str, Any]
Path = tuple[str, ...]

LAYER: Final = "layer_with_weights-"
OPERATIONS: Final = "_operations"
INSIDE: Final[Mapping[str, Path]] = {"Sequential": ("_functional", OPERATIONS)}  # of a model in Keras 3; others: OPERATIONS alone
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


@dataclass(frozen=True, slots=True)
class Root:
    """The model's `node`, and the names that lead from it to each layer that has arrays ("model/lstm" in a model inside).

    `is_of_layers`: whether what an attribute of the model holds is layers. `counts_single_numbers`: whether one number there is a
    weight; among the attributes of a subclassed model are its metrics.
    """

    node: int
    layers: Mapping[str, Path]
    is_of_layers: Callable[[str], bool]
    counts_single_numbers: bool = True


def find_root(objects: ObjectGraph, model: Raw) -> Root | None:
    """The model that is nearest to the root, in a checkpoint that may hold more; None: there is none of this architecture."""
    names = {layer_name(raw) for raw in layers_of(model) if _holds_arrays(raw)}
    node = objects.holder(lambda children: any(name.startswith(LAYER) for name in children))
    if node is not None:
        return Root(node, dict(_numbered(model, (), ())), lambda attribute: attribute.startswith(LAYER))
    node = objects.holder(lambda children: bool(names) and names <= set(children))
    if node is not None:
        called = dict(_called(model))
        return Root(node, called, lambda attribute: attribute not in TRAINING, counts_single_numbers=False)
    node = objects.holder(lambda children: OPERATIONS in children)
    return None if node is None else Root(node, dict(_operations(model, (), (OPERATIONS,))), lambda name: name == OPERATIONS)


def _numbered(model: Raw, around: Path, path: Path) -> Iterator[tuple[str, Path]]:
    for number, raw in enumerate(filter(_holds_arrays, layers_of(model))):
        name, there = (*around, layer_name(raw)), (*path, f"{LAYER}{number}")
        yield "/".join(name), there
        inside, within = _inside(raw)
        if inside.get("class_name") in MODELS:
            yield from _numbered(inside, name, (*there, *within))


def _called(model: Raw) -> Iterator[tuple[str, Path]]:
    for raw in filter(_holds_arrays, layers_of(model)):
        name = layer_name(raw)
        yield name, (name,)
        inside, within = _inside(raw)
        if inside.get("class_name") in MODELS:
            yield from _numbered(inside, (name,), (name, *within))


def _operations(model: Raw, around: Path, path: Path) -> Iterator[tuple[str, Path]]:
    config = model.get("config")
    raws: list[Raw] = config.get("layers", []) if isinstance(config, Mapping) else []
    unwritten = bool(raws) and raws[0].get("class_name") != "InputLayer"  # the input of a Sequential
    for number, raw in enumerate(raws, int(unwritten)):
        if not _holds_arrays(raw):
            continue
        name, there = (*around, layer_name(raw)), (*path, str(number))
        yield "/".join(name), there
        inside, within = _inside(raw)
        if inside.get("class_name") in MODELS:
            members = INSIDE.get(str(inside.get("class_name")), (OPERATIONS,))
            yield from _operations(inside, name, (*there, *within, *members))


def _inside(raw: Raw) -> tuple[Raw, Path]:
    """The layer itself, or the one that a TimeDistributed holds."""
    if raw.get("class_name") == "TimeDistributed":
        return raw["config"].get("layer") or {}, ("layer",)
    return raw, ()


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
