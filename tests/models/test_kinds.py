"""Each kind of layer is built to its end: it says its facts, each table lists it, random stacks draw it, frameworks confirm it.

A kind that was left out somewhere fails here, by its name and that of the place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from inspect import isabstract
from math import prod
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import find
from hypothesis import strategies as st

from cellserve.models import spec
from cellserve.models.description.layers.cells import SimpleRnnLayer
from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.description.layers.stepwise import ReshapeLayer
from cellserve.models.description.mask_sources import mask_sources
from cellserve.models.description.shapes import infer_shapes
from cellserve.models.description.state_layout import StateLayout
from cellserve.models.graph import Graph
from cellserve.models.numerics import layers, windows
from cellserve.models.numerics.cells.table import CELLS
from cellserve.models.numerics.row_lengths import RowLengths
from cellserve.models.numerics.value import Value
from cellserve.models.reference.graph import Row
from cellserve.models.reference.layers import TWINS
from cellserve.models.reference.recurrence import STEPS
from cellserve.models.spec import InputSpec, ModelSpec
from cellserve.models.state import RecurrentState
from tests.golden.cases import all_cases, imported
from tests.models.drawn_layers import RECURRENT, VOCABULARY, drawn
from tests.models.networks import agree, random_weights

TIME_STEPS = 6


def by_name(kind: type[Layer]) -> str:
    return kind.__name__


def defined(base: type[Layer] = Layer) -> Iterator[type[Layer]]:
    """Every class of layer that has a kind of its own."""
    for layer in base.__subclasses__():
        if "kind" in layer.model_fields and layer.__module__.startswith("cellserve."):
            yield layer
        yield from defined(layer)


def test_every_class_of_layer_is_listed_once() -> None:
    forgotten = [layer.__name__ for layer in defined() if layer not in spec.KINDS]
    assert not forgotten, f"{', '.join(forgotten)} is missing in the kinds (KINDS of its file)"
    names = [kind.model_fields["kind"].default for kind in spec.KINDS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("kind", spec.KINDS, ids=by_name)
def test_a_kind_is_built_to_its_end(kind: type[Layer]) -> None:
    """Also that oracle, network and description agree on it: on steps, numbers, and where masks end."""
    assert not isabstract(kind), f"{kind.__name__} does not say {sorted(kind.__abstractmethods__)}"
    missing = [place for place, kinds in places(kind).items() if kind not in kinds]
    assert not missing, f"{kind.__name__} is missing in {', '.join(missing)}"
    for members in examples(kind):
        agree_on(members)


def places(kind: type[Layer]) -> Mapping[str, Any]:
    common = {
        "the random stacks (tests/models/drawn_layers.py)": drawn_kinds(),
        "the golden cases (tests/golden)": golden_kinds(),
    }
    if issubclass(kind, RecurrentLayer):
        return {"the cells (CELLS)": CELLS, "the oracle's cells (STEPS)": STEPS, **common}
    tables: dict[str, Any] = {"the layers (PREPARE)": layers.PREPARE, "the oracle's layers (TWINS)": TWINS}
    if kind.change is not Layer.change:
        tables["the windows (COMPUTES)"] = windows.COMPUTES
    if kind.sums_up:
        tables["the reductions (REDUCTIONS)"] = windows.REDUCTIONS
    return tables | common


@cache
def drawn_kinds() -> set[type[Layer]]:
    return {*RECURRENT, *(type(layer) for members in drawn() for layer in members)}


@cache
def golden_kinds() -> set[type[Layer]]:
    return {type(layer) for case in all_cases() for layer in imported(case).spec.layers}


def examples(kind: type[Layer]) -> Iterator[list[Layer]]:
    """What random stacks draw with that kind of layer."""
    if issubclass(kind, RecurrentLayer):
        common = {"name": "rnn", "inputs": ("x",), "units": 3, "use_bias": True, "return_sequences": True}
        make = st.composite(lambda draw: RECURRENT[kind](draw, dict(common), False))
        yield [find(make(), lambda layer: True)]
    else:
        yield from (list(members) for members in drawn() if any(type(layer) is kind for layer in members))


def agree_on(members: Sequence[Layer]) -> None:
    """Two rows of which some steps are masked, through a chain that begins at "x"."""
    model = network(members)
    shapes, weights = infer_shapes(model), random_weights(model)
    fixed = any(layer.needs_fixed_steps for layer in members)
    lengths = (TIME_STEPS, TIME_STEPS if fixed else TIME_STEPS - 1)
    generator = np.random.default_rng(0)
    shape = (2, TIME_STEPS, *shapes["x"].features)
    x = generator.normal(size=shape).astype(np.float32) if shapes["x"].features else generator.integers(0, VOCABULARY, shape)
    mask = np.array([[True, False, True, True, False, True], [False, True, True, False, True, True]])
    made = by_network(model, x, mask, lengths)
    for row, length in enumerate(lengths):
        oracle = Row(model, weights.arrays, [x[row]], [length], mask[row])
        oracle.run({})
        for layer in members:
            value, what = made[layer.name], f"{layer.kind} {layer.name!r}, row {row}"
            sequence = shapes[layer.name].sequence
            steps = shapes[layer.name].step_count.steps(length)
            right, counted = oracle.values[layer.name], oracle.masks.get(layer.name)
            if sequence:
                assert len(right) == steps, f"{what}: the oracle makes {len(right)} steps, the description says {steps}"
            agree(value.tensor[:steps, row].numpy() if sequence else value.tensor[row].numpy(), right, what)
            ends = {"the network": value.mask is None, "the oracle": counted is None}
            if sequence:
                ends["the description"] = layer.name not in sources(members, layer)
            assert len(set(ends.values())) == 1, f"{what}: who says that its mask ends: {ends}"
            if value.mask is not None and counted is not None:
                assert value.mask[:steps, row].tolist() == counted.tolist(), what


def network(members: Sequence[Layer]) -> ModelSpec:
    ids = any(type(layer).__name__ == "EmbeddingLayer" for layer in members)
    fixed = any(layer.needs_fixed_steps for layer in members)
    given = InputSpec(
        name="x", kind="ids" if ids else "features", width=None if ids else 3, time_steps=TIME_STEPS if fixed else None
    )
    return ModelSpec(inputs=(given,), layers=tuple(members), outputs=(members[-1].name,))


def by_network(model: ModelSpec, x: Any, mask: Any, lengths: Sequence[int]) -> dict[str, Value]:
    graph = Graph.prepare(model, random_weights(model), torch.device("cpu"))
    rows = RowLengths(lengths, TIME_STEPS, torch.device("cpu"))
    values = {"x": Value(torch.tensor(x.swapaxes(0, 1)), rows, torch.tensor(mask.T))}
    with torch.inference_mode():
        graph.evaluate(model.layers, values, RecurrentState.zeros(StateLayout.of(model), 2, torch.device("cpu")), "2")
    return values


def sources(members: Sequence[Layer], layer: Layer) -> Mapping[str, str]:
    """By sequence, whose mask it carries, with somebody who heeds that of this layer."""
    until = list(members[: members.index(layer) + 1])
    features = infer_shapes(network(until))[layer.name].features
    flat = ReshapeLayer(name="flat", inputs=(layer.name,), features=(prod(features),), axes=len(features))
    model = network([*until, flat, SimpleRnnLayer(name="heeds", inputs=(flat.name,), units=1)])
    return mask_sources(model, infer_shapes(model))
