"""A chunk of a whole causal network as one ONNX model: rows in side by side, all layers, the head, the new states out.

One run in place of dozens of small operations, each of which would hand the interpreter over to whoever waits for it. What it
cannot say (some layers and activations) is refused in words; such networks go layer by layer. Nor can it mask: it is for steps of
which none is masked, as `masked` tells. Knows no session, no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from cellserve.models.description.causal_plan import CausalPlan
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.description.layers.rows import LastStepLayer
from cellserve.models.description.layers.stepwise import EmbeddingLayer, MaskingLayer
from cellserve.models.description.state_layout import SEEN, StateLayout
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.implementations.masked_steps import masks
from cellserve.models.implementations.onnxruntime import graph as onnx_graph
from cellserve.models.implementations.onnxruntime import plain as onnx_plain
from cellserve.models.implementations.onnxruntime import scan as onnx_scan
from cellserve.models.implementations.onnxruntime.builder import GraphBuilder
from cellserve.models.implementations.onnxruntime.graph import Model
from cellserve.models.implementations.own_arrays import own_arrays
from cellserve.models.spec import LayerSpec, ModelSpec

Array = NDArray[np.float32]

STEPS: Final = "steps"  # [B, T, F] float32 or ids [B, T] int64; anything that the layers can take beyond a row's end
LENGTHS: Final = "lengths"  # [B] int32
STATE: Final = "state"  # [1, B, width]: rows of the state layout
ENDING: Final = "ending"  # [E] int64: the rows whose vectors are wanted
NEW_STATE: Final = "new_state"  # [1, B, width]


def obstacle(spec: ModelSpec, plan: CausalPlan) -> str | None:
    """None, or why this network cannot be one ONNX model. refusals.by_onnxruntime lets each of its recurrent layers through."""
    if plan.obstacle is not None:
        return plan.obstacle
    if any(entry.kind == "ids" and entry.name in spec.outputs for entry in spec.inputs):
        return "an output is ids"
    reasons = (_layer_obstacle(spec, layer) for layer in spec.layers)
    return next((reason for reason in reasons if reason is not None), None)


def _layer_obstacle(spec: ModelSpec, layer: LayerSpec) -> str | None:
    if isinstance(layer, RecurrentLayer):
        empty = layer.mask_rule == "zero_or_empty" and masks(spec)
        return f"layer {layer.name!r} masks steps of its own inputs" if empty else None
    if isinstance(layer, EmbeddingLayer | MaskingLayer) and layer.inputs[0] != spec.inputs[0].name:
        return f"layer {layer.name!r} reads another layer"
    return None if isinstance(layer, LastStepLayer) else onnx_plain.obstacle(layer)


def output_name(index: int) -> str:
    """Of the index-th output of the spec: [B, T, …] for a sequence, [E, …] for a vector."""
    return f"output_{index}"


def model_of(
    spec: ModelSpec,
    plan: CausalPlan,
    shapes: Mapping[str, TensorShape],
    weights: Mapping[str, Array],
    scanned: frozenset[str] = frozenset(),
) -> Model:
    """Of a network without an obstacle. scanned: the recurrent layers, without peepholes, that run as scans."""
    return _Chunk(spec, plan, shapes, weights, scanned).model()


class _Chunk:
    """Every tensor of the network is one of the graph, by the same name behind "="; helpers are named with "/" or "::"."""

    def __init__(
        self,
        spec: ModelSpec,
        plan: CausalPlan,
        shapes: Mapping[str, TensorShape],
        weights: Mapping[str, Array],
        scanned: frozenset[str],
    ) -> None:
        self._spec, self._plan, self._shapes = spec, plan, shapes
        self._scanned = scanned
        self._columns = StateLayout.of(spec).columns
        self._read = frozenset((*spec.outputs, *(reference for layer in spec.layers for reference in layer.inputs)))
        self._graph = GraphBuilder()
        self._own = own_arrays(spec.layers, weights)

    def model(self) -> Model:
        entry = self._spec.inputs[0]
        features = () if entry.width is None else (entry.width,)
        self._graph.input(STEPS, TensorProto.FLOAT if features else TensorProto.INT64, "B", "T", *features)
        self._graph.input(LENGTHS, TensorProto.INT32, "B")
        self._graph.input(STATE, TensorProto.FLOAT, 1, "B", sum(one.width for one in self._columns))
        self._graph.add("Transpose", [STEPS], _ref(entry.name), perm=_rows_and_steps_swapped(2 + len(features)))
        if self._columns:
            self._graph.split(STATE, [f"state/{one.key}" for one in self._columns], [one.width for one in self._columns], axis=2)
        for layer in self._plan.body:
            self._layer(layer)
        self._cut_vectors()
        for layer in self._plan.head:
            self._layer(layer)
        self._write_states()
        self._write_outputs()
        return self._graph.model()

    def _write_states(self) -> None:
        if self._columns:
            one = self._graph.constant("state/one", np.ones((1, 1, 1), np.float32))
            for columns in self._columns:
                if columns.state == SEEN:
                    self._graph.add("Max", [f"state/{columns.key}", one], f"new/{columns.key}")
            self._graph.add("Concat", [f"new/{columns.key}" for columns in self._columns], NEW_STATE, axis=2)
        else:
            self._graph.add("Identity", [STATE], NEW_STATE)
        self._graph.output(NEW_STATE, TensorProto.FLOAT)

    def _cut_vectors(self) -> None:
        """The head, and the outputs, see the vectors of the rows that end."""
        vectors = [reference for reference in self._plan.carried if not self._shapes[reference].sequence]
        if not vectors:
            return
        self._graph.input(ENDING, TensorProto.INT64, "E")
        for reference in vectors:
            self._graph.rename(_ref(reference), f"{_ref(reference)}::all")
            self._graph.add("Gather", [f"{_ref(reference)}::all", ENDING], _ref(reference))

    def _write_outputs(self) -> None:
        for index, reference in enumerate(self._spec.outputs):
            name = output_name(index)
            if self._shapes[reference].sequence:
                axes = 2 + len(self._shapes[reference].features)
                self._graph.add("Transpose", [_ref(reference)], name, perm=_rows_and_steps_swapped(axes))
            else:
                self._graph.add("Identity", [_ref(reference)], name)
            self._graph.output(name, TensorProto.FLOAT)

    def _layer(self, layer: LayerSpec) -> None:
        inputs, made = [_ref(reference) for reference in layer.inputs], _ref(layer.name)
        if isinstance(layer, RecurrentLayer):
            self._recurrent(layer, inputs[0], made)
        elif isinstance(layer, LastStepLayer):
            self._graph.add("GatherND", [inputs[0], self._lasts()], made)
        else:
            onnx_plain.add(self._graph, layer, self._own[layer.name], inputs, made)

    def _recurrent(self, layer: RecurrentLayer, inputs: str, made: str) -> None:
        index = self._spec.recurrent_layers.index(layer)
        before = [f"state/{index}.{name}" for name in layer.state_widths]
        after = [f"new/{index}.{name}" for name in layer.state_widths]
        run = self._scan if layer.name in self._scanned else self._operator
        steps = run(layer, inputs, before, after, made)
        if layer.return_sequences:
            self._graph.add("Identity", [steps], made)
        else:
            self._graph.add("Squeeze", [after[0], self._axis(0)], made)
        for name, state in zip(layer.state_widths, after):
            if f"{layer.name}:{name}" in self._read:
                self._graph.add("Squeeze", [state, self._axis(0)], f"{made}:{name}")

    def _operator(self, layer: RecurrentLayer, inputs: str, before: list[str], after: list[str], made: str) -> str:
        """before, after: states [1, B, units]. Returns the name of the outputs [T, B, units], if the layer returns them."""
        given, directions = (inputs, LENGTHS, *before), f"{made}::directions"
        self._graph.piece(onnx_graph.piece(layer, self._own[layer.name], given, (directions, *after), f"{made}::"))
        if layer.return_sequences:
            self._graph.add("Squeeze", [directions, self._axis(1)], f"{made}::steps")
        return f"{made}::steps"

    def _scan(self, layer: RecurrentLayer, inputs: str, before: list[str], after: list[str], made: str) -> str:
        """As `_operator`. A scan goes on beyond the ends of rows: their states are picked from those of all steps."""
        starts, ends = [f"{made}::from{n}" for n in range(len(before))], [f"{made}::to{n}" for n in range(len(after))]
        for state, start in zip(before, starts):
            self._graph.add("Squeeze", [state, self._axis(0)], start)
        steps = [f"{made}::all{n}" for n in range(len(after))]
        self._graph.piece(onnx_scan.piece(layer, self._own[layer.name], (inputs, *starts), (*ends, *steps), f"{made}::"))
        for n, (every, state) in enumerate(zip(steps, after)):
            self._graph.add("GatherND", [every, self._lasts()], f"{made}::last{n}")
            self._graph.add("Unsqueeze", [f"{made}::last{n}", self._axis(0)], state)
        return steps[0]

    def _axis(self, place: int) -> str:
        return self._graph.constant(f"axis/{place}", np.array([place], np.int64))

    def _lasts(self) -> str:
        """[B, 2] int64: the last step of each row, and the row."""
        graph, made = self._graph, "lasts"
        if not graph.makes(made):
            zero, one = (graph.constant(f"lasts/{n}", np.array(n, np.int64)) for n in (0, 1))
            graph.add("Cast", [LENGTHS], "lasts/lengths", to=TensorProto.INT64)
            graph.add("Sub", ["lasts/lengths", one], "lasts/steps")
            graph.add("Shape", [LENGTHS], "lasts/shape")
            graph.add("Squeeze", ["lasts/shape"], "lasts/rows")
            graph.add("Range", [zero, "lasts/rows", one], "lasts/range")
            graph.add("Unsqueeze", ["lasts/steps", self._axis(1)], "lasts/column")
            graph.add("Unsqueeze", ["lasts/range", self._axis(1)], "lasts/row_column")
            graph.add("Concat", ["lasts/column", "lasts/row_column"], made, axis=1)
        return made


def _ref(reference: str) -> str:
    return f"={reference}"


def _rows_and_steps_swapped(axes: int) -> list[int]:
    return [1, 0, *range(2, axes)]
