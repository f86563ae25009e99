"""How functional Keras models write who feeds whom: the inbound nodes of every version, as one kind of call.

Knows the shapes of the JSON, not what the layers do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cellserve.models.errors import ImportRefused


@dataclass(frozen=True, slots=True)
class TensorKey:
    """Output number `index` of call number `node` of the layer `layer`."""

    layer: str
    node: int
    index: int


@dataclass(frozen=True, slots=True)
class Call:
    """One use of a layer. `constants`: arguments that are not tensors; tensors among the keywords are TensorKeys."""

    inputs: tuple[TensorKey, ...]
    constants: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)

    def needs(self) -> tuple[TensorKey, ...]:
        return (*self.inputs, *_keys_within(self.keywords))


def parse_calls(inbound_nodes: object, source: str, layer: str) -> list[Call]:
    """Raises ImportRefused for a form that no known version writes."""
    if not isinstance(inbound_nodes, list):
        raise ImportRefused(source, "its inbound_nodes are not a list; the model's configuration is damaged", layer=layer)
    try:
        return [_keras_3(node) if isinstance(node, Mapping) else _keras_2(node) for node in inbound_nodes]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ImportRefused(source, f"its inbound_nodes are written in a form not known here ({error})", layer=layer) from error


def parse_keys(entries: object, source: str, what: str) -> list[TensorKey]:
    """`input_layers` and `output_layers`: [["lstm", 0, 0], …], or one bare ["lstm", 0, 0] in Keras 3."""
    if _is_key(entries):
        return [_key(entries)]
    if isinstance(entries, list) and entries and all(_is_key(entry) for entry in entries):
        return [_key(entry) for entry in entries]
    raise ImportRefused(
        source, f"the model's {what} are nested or named structures, which are not supported yet; save it with a plain list"
    )


def _keras_3(node: Mapping[str, Any]) -> Call:
    """{"args": [tensor or list of tensors, …], "kwargs": {…}} with tensors as {"class_name": "__keras_tensor__", …}."""
    inputs: list[TensorKey] = []
    constants: list[Any] = []
    for argument in node.get("args", []):
        for item in argument if isinstance(argument, list) else [argument]:
            value = _tensor(item)
            if isinstance(value, TensorKey):
                inputs.append(value)
            else:
                constants.append(value)
    return Call(tuple(inputs), tuple(constants), {name: _tensors_within(value) for name, value in node.get("kwargs", {}).items()})


def _keras_2(node: list[Any]) -> Call:
    """[["masking", 0, 0, {keywords}], ["state_h", 0, 0, {}], …]; a single entry may stand bare."""
    entries = [node] if node and isinstance(node[0], str) else node
    keywords: dict[str, Any] = {}
    for entry in entries:
        if len(entry) > 3 and entry[3]:
            keywords |= {name: _legacy_tensors_within(value) for name, value in entry[3].items()}
    return Call(tuple(_key(entry) for entry in entries), (), keywords)


def _is_key(entry: object) -> bool:
    return (
        isinstance(entry, list) and len(entry) >= 3 and isinstance(entry[0], str) and all(isinstance(i, int) for i in entry[1:3])
    )


def _key(entry: Any) -> TensorKey:
    if not _is_key(entry) or entry[0].startswith("_CONSTANT"):
        raise ValueError(f"{entry!r} names no tensor")
    return TensorKey(entry[0], entry[1], entry[2])


def _tensor(item: Any) -> Any:
    if isinstance(item, Mapping) and item.get("class_name") == "__keras_tensor__":
        return _key(item["config"]["keras_history"])
    return item


def _tensors_within(value: Any) -> Any:
    if isinstance(value, list):
        return [_tensors_within(item) for item in value]
    return _tensor(value)


def _legacy_tensors_within(value: Any) -> Any:
    if _is_key(value):
        return _key(value)
    return [_legacy_tensors_within(item) for item in value] if isinstance(value, list) else value


def _keys_within(value: Any) -> tuple[TensorKey, ...]:
    if isinstance(value, TensorKey):
        return (value,)
    children = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return tuple(key for child in children for key in _keys_within(child))
