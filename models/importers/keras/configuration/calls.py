"""How functional Keras models write who feeds whom: the inbound nodes of every version, as one kind of call.

Knows the shapes of the JSON, not what the layers do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    """One use of a layer. `constants`: arguments that are not tensors; tensors among the keywords are TensorKeys.

    `arguments`: all of them as they stand, tensors among them as TensorKeys, lists as lists.
    """

    inputs: tuple[TensorKey, ...]
    constants: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)
    arguments: tuple[Any, ...] = ()

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
    """`input_layers` and `output_layers`: [["lstm", 0, 0], …], one bare ["lstm", 0, 0], or a structure of such (Keras 3).

    In the order in which Keras goes through a structure: dictionaries by their keys.
    """
    found = list(_keys_in(entries))
    if not found:
        raise ImportRefused(source, f"the model's {what} are written in a form not known here; the configuration is damaged")
    return found


def names_of_keys(entries: object) -> list[str]:
    """The keys of a dictionary of tensors, in the same order; empty for any other structure."""
    return sorted(map(str, entries)) if isinstance(entries, Mapping) else []


def _keys_in(entries: object) -> Iterator[TensorKey]:
    if _is_key(entries):
        yield _key(entries)
    elif isinstance(entries, Mapping):
        for name in sorted(entries):
            yield from _keys_in(entries[name])
    elif isinstance(entries, list):
        for entry in entries:
            yield from _keys_in(entry)


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
    keywords = {name: _tensors_within(value) for name, value in node.get("kwargs", {}).items()}
    return Call(tuple(inputs), tuple(constants), keywords, tuple(_tensors_within(one) for one in node.get("args", [])))


def _keras_2(node: list[Any]) -> Call:
    """[["masking", 0, 0, {keywords}], ["state_h", 0, 0, {}], …]; a single entry may stand bare, and a list of them in the list.

    A number in the place of a tensor is ["_CONSTANT_VALUE", -1, 0.5, {keywords}].
    """
    arguments = [node] if node and isinstance(node[0], str) else node
    entries = [entry for argument in arguments for entry in (argument if _is_list(argument) else [argument])]
    keywords: dict[str, Any] = {}
    for entry in entries:
        if len(entry) > 3 and entry[3]:
            keywords |= {name: _legacy_tensors_within(value) for name, value in entry[3].items()}
    values = [_legacy_argument(argument) for argument in arguments]
    constants = tuple(entry[2] for entry in entries if _is_constant(entry))
    return Call(tuple(_key(entry) for entry in entries if not _is_constant(entry)), constants, keywords, tuple(values))


def _legacy_argument(argument: Any) -> Any:
    if _is_list(argument):
        return [_legacy_argument(entry) for entry in argument]
    return argument[2] if _is_constant(argument) else _key(argument)


def _is_list(argument: Any) -> bool:
    return isinstance(argument, list) and bool(argument) and isinstance(argument[0], list)


def _is_constant(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) > 2 and entry[0] == "_CONSTANT_VALUE"


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
