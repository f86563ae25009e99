"""The graph of an exported program as calls of torch's operations on named values. Knows no operations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from cellserve.models.importers.pytorch.export.archive import DTYPES, Archive, Damaged

MOST_CALLS: Final = 50_000
CHANGING: Final = ("buffer_mutation", "user_input_mutation", "parameter_mutation")


@dataclass(frozen=True, slots=True)
class Named:
    """A value of the graph: a tensor, or a whole number that depends on a shape."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """`operation`: "aten.lstm.input" or "_operator.mul"; `given`: its arguments by torch's names, without those at their default.

    `made`: names of its outputs, "" for one that is left out. `place`, `kind`: of the module that ran it.
    """

    name: str
    operation: str
    given: Mapping[str, Any]
    made: tuple[str, ...]
    place: str = ""
    kind: str = ""

    @property
    def operator(self) -> str:
        """Without the namespace and the overload: "lstm"."""
        parts = self.operation.split(".")
        return parts[1] if len(parts) > 1 else parts[0]


@dataclass(frozen=True, slots=True)
class ProgramInput:
    """`sizes`: of each axis; None where a size of the call is taken."""

    name: str
    dtype: torch.dtype
    sizes: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """`constants`: what the graph calls parameters, buffers and constants; `places`: where each is in the module.

    `sizes`: of every tensor, as far as they are fixed; `changed`: buffers that a call changes; `version`: torch's, or "".
    """

    calls: tuple[Call, ...]
    inputs: tuple[ProgramInput, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, torch.Tensor]
    places: Mapping[str, str]
    sizes: Mapping[str, tuple[int | None, ...]]
    changed: tuple[str, ...]
    version: str

    @property
    def example_sizes(self) -> tuple[int, ...]:
        """Sizes that torch.export took from its example, of the axis where programs have time the most often first."""
        found = [entry.sizes[axis] for axis in (1, 0, 2, 3) for entry in self.inputs if axis < len(entry.sizes)]
        return tuple(dict.fromkeys(size for size in found if size is not None and size > 1))


def names_in(values: Any) -> Iterator[str]:
    """Of the values of the graph among arguments, in lists too."""
    for one in values:
        if isinstance(one, Named):
            yield one.name
        elif isinstance(one, list):
            yield from names_in(one)


def without_dead(calls: Sequence[Call], outputs: Sequence[str]) -> list[Call]:
    """Those that the outputs need, and those that change something."""
    wanted, kept = set(outputs), []
    for call in reversed(calls):
        if wanted & set(call.made) or not call.made or (call.operator.endswith("_") and not call.operator.startswith("_")):
            kept.append(call)
            wanted.update(names_in(call.given.values()))
    return kept[::-1]


def read_program(archive: Archive) -> Program:
    """Raises Damaged, or anything that a document of another form makes of being read."""
    module = archive.document["graph_module"]
    graph, signature = module["graph"], module["signature"]
    metas = graph["tensor_values"]
    if len(graph["nodes"]) > MOST_CALLS:
        raise Damaged(f"its graph has {len(graph['nodes']):,} nodes; the limit is {MOST_CALLS:,}")
    constants, places, inputs = dict[str, torch.Tensor](), dict[str, str](), list[ProgramInput]()
    for kind, spec in (_one(entry) for entry in signature["input_specs"]):
        if kind == "user_input":
            inputs += _user_input(spec["arg"], metas)
        elif (place := spec.get(f"{kind}_name")) is not None and isinstance(spec.get("arg"), dict) and "name" in spec["arg"]:
            name = str(spec["arg"]["name"])
            places[name] = str(place)
            if kind in ("parameter", "buffer", "tensor_constant"):
                if place not in archive.tensors:
                    raise Damaged(f"it holds no array of the name {place}")
                constants[name] = archive.tensors[place]
    outputs, changed = list[str](), list[str]()
    for kind, spec in (_one(entry) for entry in signature["output_specs"]):
        if kind in CHANGING:
            changed.append(str(spec.get("buffer_name") or spec.get("user_input_name") or spec.get("parameter_name")))
        elif "arg" in spec and (answered := _tensor_name(spec["arg"])) is not None:
            outputs.append(answered)
    return Program(
        tuple(_call(node, number) for number, node in enumerate(graph["nodes"])),
        tuple(inputs),
        tuple(outputs),
        constants,
        places,
        {name: tuple(_size(one) for one in meta["sizes"]) for name, meta in metas.items()},
        tuple(changed),
        str(archive.document.get("torch_version") or ""),
    )


def _one(entry: Mapping[str, Any]) -> tuple[str, Any]:
    """What a union of the format holds, with the name of its kind."""
    ((kind, content),) = entry.items()
    return kind, content


def _user_input(arg: Mapping[str, Any], metas: Mapping[str, Any]) -> Iterator[ProgramInput]:
    """None for values that are no tensors, which the program was exported with."""
    name = _tensor_name(arg)
    if name is None:
        return
    meta = metas[name]
    dtype = DTYPES.get(meta["dtype"])
    if dtype is None:
        raise Damaged(f"its input {name} is of the type {meta['dtype']}, which no network here reads")
    yield ProgramInput(name, dtype, tuple(_size(one) for one in meta["sizes"]))


def _size(said: Mapping[str, Any]) -> int | None:
    return int(said["as_int"]) if said.get("as_int") is not None else None


def _tensor_name(arg: Mapping[str, Any]) -> str | None:
    tensor = arg.get("as_tensor")
    return str(tensor["name"]) if isinstance(tensor, Mapping) else None


def _call(node: Mapping[str, Any], number: int) -> Call:
    made = tuple(_made(node["outputs"]))
    stack = str(node.get("metadata", {}).get("nn_module_stack", "")).rpartition(";")[2].split(",")
    place, kind = (stack[1], stack[2]) if len(stack) == 3 else ("", "")
    operation = str(node["target"]).removeprefix("torch.ops.")
    name = str(node.get("name") or next((one for one in made if one), "") or f"node_{number}")
    return Call(name, operation, {str(one["name"]): _argument(one["arg"]) for one in node["inputs"]}, made, place, kind)


def _made(outputs: list[Mapping[str, Any]]) -> Iterator[str]:
    for kind, content in (_one(entry) for entry in outputs):
        if kind == "as_tensors":
            yield from (str(one["name"]) for one in content)
        elif isinstance(content, Mapping) and ("name" in content or "as_name" in content):
            yield str(content.get("name") or content.get("as_name"))
        else:
            yield ""


def _argument(arg: Mapping[str, Any]) -> Any:
    """A Named, a list of them and numbers, or a plain value. Raises Damaged: of a kind that no operation here takes."""
    kind, content = _one(arg)
    match kind:
        case "as_none":
            return None
        case "as_tensor":
            return Named(str(content["name"]))
        case "as_optional_tensor":
            return _argument(content)
        case "as_tensors":
            return [Named(str(one["name"])) for one in content]
        case "as_optional_tensors":
            return [_argument(one) for one in content]
        case "as_sym_int" | "as_sym_float" | "as_sym_bool":
            return _symbolic(content)
        case "as_sym_ints" | "as_sym_floats" | "as_sym_bools":
            return [_symbolic(one) for one in content]
        case "as_scalar_type":
            return DTYPES.get(content, content)
        case "as_int" | "as_float" | "as_bool" | "as_string" | "as_ints" | "as_floats" | "as_bools" | "as_strings":
            return content
        case "as_device" | "as_layout" | "as_memory_format":
            return content
    raise Damaged(f"an argument of the kind {kind} is not known here")


def _symbolic(content: Mapping[str, Any]) -> Any:
    kind, value = _one(content)
    return Named(str(value)) if kind == "as_name" else value
