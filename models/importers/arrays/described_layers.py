"""A network that a person described layer by layer, over the arrays of a file that says nothing of it.

The description is a ModelSpec's own form; each layer takes the arrays that it names, or the next ones of a numbered list.
Nothing is guessed: every array must fit the layer that takes it, and none of a numbered list may be left over. Reads no files.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy.typing as npt
from pydantic import ValidationError

from cellserve.models.description.layers.carried import Carried
from cellserve.models.description.layers.cells import LstmLayer
from cellserve.models.description.layers.planes import Conv2dLayer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.description.shapes import expected_weights
from cellserve.models.errors import ImportRefused, InvalidSpec
from cellserve.models.importers.arrays.orders import CONVOLUTIONS, roles, to_canonical
from cellserve.models.importers.arrays.torch_defaults import unsaid
from cellserve.models.importers.completeness import complete
from cellserve.models.importers.description import DescribedLayer, Description
from cellserve.models.importers.imported import ImportedModel, Source
from cellserve.models.importers.unused import tell_unused
from cellserve.models.spec import LayerSpec, ModelSpec

Arrays = Mapping[str, npt.NDArray[Any]]

FIELDS: Final = frozenset({"forget_bias", "ignore", "inputs", "layers", "layout", "outputs"})
FORGET_BIAS: Final = 1.0  # TensorFlow's default
FORM: Final = (
    "describe them in a --description: `inputs: [{name: x, width: 12}]`, `layout: keras` (or torch, tensorflow1, flax, haiku, "
    "mlx) and `layers: [{kind: lstm, units: 64}, {kind: dense, units: 2}]`, each with `arrays: [names]` unless the file numbers "
    "them in this order"
)


@dataclass
class _Claims:
    """Which arrays are taken. `numbered`: those of the numbered list that no layer names, in its order; empty without one."""

    arrays: Arrays
    numbered: Sequence[str]
    taken: set[str]

    def upcoming(self) -> list[str]:
        return [name for name in self.numbered if name not in self.taken]


def from_layers(
    path: Path,
    arrays: Arrays,
    description: Description,
    source: Source,
    notes: Sequence[str] = (),
    precisions: Collection[str] = (),
) -> ImportedModel:
    """`arrays`: all that the file holds for the model; `notes`: what was left out of it; `precisions`: in which it holds them.

    Raises ImportRefused naming the layer and the array, with the shapes found and expected.
    """
    if description.layers is None or description.inputs is None or description.layout is None:
        missing = [name for name in ("inputs", "layout", "layers") if getattr(description, name) is None]
        raise ImportRefused(str(path), f"arrays do not say what network they are; {FORM}. Missing: {', '.join(missing)}")
    description.refuse_all_but(FIELDS, str(path), "a network described layer by layer")
    spec = _spec(description, str(path))
    for layer in spec.layers:
        if isinstance(layer, Carried):
            what = "this is a part of an ONNX graph, which only the import of an .onnx file cuts out and proves; import that file"
            raise ImportRefused(str(path), what, layer=layer.name, option="kind")
    named = {name for layer in description.layers for name in layer.arrays or ()}
    claims = _Claims(arrays, _numbered(arrays.keys() - named), named)
    try:
        expected = expected_weights(spec)
    except InvalidSpec as error:
        raise ImportRefused(str(path), f"the described layers do not fit together: {error}") from error
    canonical: dict[str, npt.NDArray[Any]] = {}
    for described, layer in zip(description.layers, spec.layers, strict=True):
        own = {name.removeprefix(f"{layer.name}."): shape for name, shape in expected.items() if _owner(name) == layer.name}
        converted = _arrays_of(layer, described, own, claims, description, str(path))
        canonical |= {f"{layer.name}.{name}": array for name, array in converted.items()}
    if left := claims.upcoming() if any(layer.arrays is None for layer in description.layers) else []:
        raise ImportRefused(str(path), f"no described layer takes {_shapes(left, arrays)}", option="layers")
    unused = {name: array.shape for name, array in arrays.items() if name not in claims.taken}
    widths = {entry.width for entry in description.inputs if entry.width is not None}
    told = tell_unused(unused, str(path), "as no described layer takes them", read_widths=widths)
    return complete(spec, canonical, source, (*notes, *told, *_notes(description, spec)), path, precisions)


def _spec(description: Description, source: str) -> ModelSpec:
    """With what the description may leave out: a layer's name, its input (the layer before), the outputs (the last layer)."""
    inputs, layers = description.inputs or (), description.layers or ()
    content: list[dict[str, Any]] = []
    previous = inputs[0].name if inputs else ""
    for index, layer in enumerate(layers):
        name = layer.name or f"{layer.kind}_{index}"
        given = layer.model_extra or {}
        if (layer.layout or description.layout) == "torch":
            given = {**given, **unsaid(layer.kind, given, source, name)}
        content.append({"inputs": (previous,), **given, "kind": layer.kind, "name": name})
        previous = name
    outputs = description.outputs or (previous,)
    try:
        return ModelSpec.model_validate({"inputs": inputs, "layers": content, "outputs": outputs})
    except ValidationError as error:
        first = error.errors()[0]
        place = first["loc"]
        if len(place) > 1 and place[0] == "layers" and isinstance(place[1], int):
            option = ".".join(map(str, place[3:])) or None
            raise ImportRefused(source, str(first["msg"]), layer=content[place[1]]["name"], option=option) from error
        raise ImportRefused(source, str(first["msg"]), option=".".join(map(str, place)) or "layers") from error


def _arrays_of(
    layer: LayerSpec,
    described: DescribedLayer,
    expected: Mapping[str, tuple[int, ...]],
    claims: _Claims,
    description: Description,
    source: str,
) -> dict[str, npt.NDArray[Any]]:
    if described.groups is not None and not isinstance(layer, CONVOLUTIONS):
        raise ImportRefused(source, "only a convolution has groups", layer=layer.name, option="groups")
    if described.bands_first is not None and not isinstance(layer, Conv2dLayer):
        raise ImportRefused(source, "only a conv2d has bands", layer=layer.name, option="bands_first")
    if not expected:
        if described.arrays:
            raise ImportRefused(source, "this layer has no arrays", layer=layer.name, option="arrays")
        return {}
    names = claims.upcoming() if described.arrays is None else list(described.arrays)
    for name in names:
        if name not in claims.arrays:
            listed = ", ".join(sorted(claims.arrays))
            raise ImportRefused(source, f"the file holds no array {name!r}; it holds {listed}", layer=layer.name, option="arrays")
    layout = described.layout or description.layout or "keras"
    default = FORGET_BIAS if description.forget_bias is None else description.forget_bias
    forget_bias = default if described.forget_bias is None else described.forget_bias
    try:
        wanted = roles(layer, layout, tuple(expected), [claims.arrays[name] for name in names], gate_order=described.gate_order)
        if described.arrays is None:
            names = names[: len(wanted)]
            claims.taken.update(names)
        if len(names) != len(wanted):
            _refuse_count(layer, wanted, names, claims, source)
        stored = {role: claims.arrays[name] for role, name in zip(wanted, names)}
        converted = to_canonical(
            layer,
            layout,
            stored,
            forget_bias,
            groups=described.groups or 1,
            bands_first=bool(described.bands_first),
            shapes=expected,
            gate_order=described.gate_order,
        )
    except ValueError as error:
        raise ImportRefused(source, f"{error} ({_shapes(names, claims.arrays)})", layer=layer.name) from error
    for own, shape in expected.items():
        if own in converted and converted[own].shape != shape:
            found = f"{_shapes(names, claims.arrays)} give it a {own} of {list(converted[own].shape)}"
            raise ImportRefused(source, f"{found} where {list(shape)} is expected", layer=layer.name)
    return converted


def _refuse_count(layer: LayerSpec, wanted: Sequence[str], names: Sequence[str], claims: _Claims, source: str) -> NoReturn:
    needed = f"it has {len(wanted)} arrays ({', '.join(wanted)})"
    if claims.numbered:
        raise ImportRefused(
            source, f"{needed}, but {_shapes(names, claims.arrays) or 'none'} are what is there", layer=layer.name
        )
    raise ImportRefused(
        source,
        f"{needed}; the file's arrays are not one numbered list, so name this layer's in that order: it holds "
        f"{_shapes(sorted(claims.arrays), claims.arrays)}",
        layer=layer.name,
        option="arrays",
    )


def _notes(description: Description, spec: ModelSpec) -> list[str]:
    said: list[str] = []
    for described, layer in zip(description.layers or (), spec.layers, strict=True):
        if isinstance(layer, RecurrentLayer):
            said += _defaults(described, layer, description)
        elif (described.layout or description.layout) == "torch":
            unnamed = unsaid(layer.kind, described.model_extra or {}, "", layer.name)
            said += [f"{layer.name}: torch's default {name} was taken, {_shown(value)}." for name, value in unnamed.items()]
    return said


def _defaults(described: DescribedLayer, layer: RecurrentLayer, description: Description) -> list[str]:
    given = described.model_extra or {}
    functions = [name for name in layer.functions if name not in given]
    said = []
    if functions:
        taken = " and ".join(f"{name} {layer.functions[name].name}" for name in functions)
        said.append(f"{layer.name}: {taken}, as the description says nothing else.")
    tensorflow = (described.layout or description.layout) == "tensorflow1" and isinstance(layer, LstmLayer)
    if tensorflow and described.forget_bias is None and description.forget_bias is None:
        said.append(f"{layer.name}: TensorFlow's default forget_bias 1.0 was added to its bias; `forget_bias: 0` says otherwise.")
    return said


def _shown(value: object) -> str:
    return ", ".join(f"{name} {own}" for name, own in value.items()) if isinstance(value, Mapping) else f"{value}"


def _numbered(names: Set[str]) -> list[str]:
    """arr_0, arr_1 …, param_0 …, layer_0_param_0 …: names that differ in their numbers alone, in the order of these."""
    if len({re.sub(r"\d+", "#", name) for name in names}) != 1 or not all(re.search(r"\d", name) for name in names):
        return []
    return sorted(names, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])


def _owner(name: str) -> str:
    return name.rpartition(".")[0]


def _shapes(names: Sequence[str], arrays: Arrays) -> str:
    return ", ".join(f"{name} {list(arrays[name].shape)}" for name in names)
