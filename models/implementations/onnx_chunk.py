"""A chunk of a whole causal network as one ONNX model: rows in one after the other, all layers, the head, the new states out.

One run in place of dozens of small operations, each of which would hand the interpreter over to whoever waits for it. What it
cannot say (some layers and activations) is refused in words; such networks go layer by layer. Nor can it mask: it is for steps of
which none is masked, as `masked` tells. Knows no session, no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper

from cellserve.models.implementations import onnx_graph, onnx_scan
from cellserve.models.implementations.onnx_activations import KNOWN, onnx_activation
from cellserve.models.implementations.onnx_graph import OnnxLayer, Piece, tensor
from cellserve.models.passes import Plan
from cellserve.models.spec import (
    Activation,
    ActivationLayer,
    BatchNormalizationLayer,
    DenseLayer,
    DropoutLayer,
    EmbeddingLayer,
    LastStepLayer,
    LayerSpec,
    MaskingLayer,
    MergeLayer,
    ModelSpec,
    RecurrentLayer,
)
from cellserve.models.state_layout import SEEN, StateLayout

Array = NDArray[np.float32]

STEPS: Final = "steps"  # [N, F] float32 or ids [N] int64: the rows' steps, one row after the other
PLACES: Final = "places"  # [T, B] int64: which of them stands at each step of each row; any one beyond a row's end
LENGTHS: Final = "lengths"  # [B] int32
STATE: Final = "state"  # [B, width]: rows of the state layout
ENDING: Final = "ending"  # [E] int64: the rows whose vectors are wanted
BACK: Final = "back"  # [N] int64: t B + b of each of the steps
NEW_STATE: Final = "new_state"  # [B, width]

_MERGES: Final[Mapping[str, str]] = {"sum": "Sum", "average": "Mean", "maximum": "Max", "minimum": "Min"}
_PAIRWISE: Final[Mapping[str, str]] = {"multiply": "Mul", "subtract": "Sub"}


def obstacle(spec: ModelSpec, plan: Plan) -> str | None:
    """None, or why this network cannot be one ONNX model. onnxruntime.unsupported lets each of its recurrent layers through."""
    if plan.obstacle is not None:
        return plan.obstacle
    reasons = (_layer_obstacle(spec, layer) for layer in spec.layers)
    return next((reason for reason in reasons if reason is not None), None)


def masked(spec: ModelSpec, steps: Array | NDArray[np.int64]) -> bool:
    """Whether a layer masks any of these steps [N, F], or ids [N], of the input."""
    for layer in spec.layers:
        if isinstance(layer, EmbeddingLayer) and layer.mask_zero and not steps.all():
            return True
        if isinstance(layer, MaskingLayer) and bool((steps == layer.mask_value).all(axis=1).any()):
            return True
    return False


def masks(spec: ModelSpec) -> bool:
    """Whether any layer may mask steps."""
    return any(
        isinstance(layer, MaskingLayer) or (isinstance(layer, EmbeddingLayer) and layer.mask_zero) for layer in spec.layers
    )


def _layer_obstacle(spec: ModelSpec, layer: LayerSpec) -> str | None:
    if isinstance(layer, RecurrentLayer):
        empty = layer.mask_rule == "zero_or_empty" and masks(spec)
        return f"layer {layer.name!r} masks steps of its own inputs" if empty else None
    match layer:
        case DenseLayer() | ActivationLayer():
            name = layer.activation.name
            known = name in KNOWN or name == "softmax"
            return None if known else f"layer {layer.name!r} has the activation {name}"
        case EmbeddingLayer() | MaskingLayer():
            within = layer.inputs[0] != spec.inputs[0].name
            return f"layer {layer.name!r} reads another layer" if within else None
        case DropoutLayer() | BatchNormalizationLayer() | LastStepLayer() | MergeLayer():
            return None
        case _:
            return f"layer {layer.name!r} is a {layer.kind}"


def output_name(index: int) -> str:
    """Of the index-th output of the spec: [N, …] for a sequence, [E, …] for a vector."""
    return f"output_{index}"


def serialized(
    spec: ModelSpec, plan: Plan, weights: Mapping[str, Array], sequences: frozenset[str], scanned: frozenset[str] = frozenset()
) -> bytes:
    """The model of a network without an obstacle.

    sequences: the references that are sequences; scanned: the recurrent layers, without peepholes, that run as scans.
    """
    return _Builder(spec, plan, weights, sequences, scanned).serialized()


class _Builder:
    """Every tensor of the network is a tensor of the graph, under the same name with "=" before it; helpers are "name/part"."""

    def __init__(
        self, spec: ModelSpec, plan: Plan, weights: Mapping[str, Array], sequences: frozenset[str], scanned: frozenset[str]
    ) -> None:
        self._spec, self._plan = spec, plan
        self._weights = weights
        self._sequences = sequences
        self._scanned = scanned
        self._layout = StateLayout.of(spec)
        self._nodes: list[NodeProto] = []
        self._constants: dict[str, NDArray[Any]] = {}
        self._inputs: list[ValueInfoProto] = []
        self._outputs: list[ValueInfoProto] = []

    def serialized(self) -> bytes:
        entry = self._spec.inputs[0]
        ids = entry.kind == "ids"
        self._input(STEPS, TensorProto.INT64 if ids else TensorProto.FLOAT, "N", *(() if ids else (entry.width or 0,)))
        self._input(PLACES, TensorProto.INT64, "T", "B")
        self._input(LENGTHS, TensorProto.INT32, "B")
        self._input(STATE, TensorProto.FLOAT, "B", self._layout.width)
        self._add("Gather", [STEPS, PLACES], _ref(entry.name))
        self._read_states()
        for layer in self._plan.body:
            self._layer(layer)
        self._cut_vectors()
        for layer in self._plan.head:
            self._layer(layer)
        self._write_states()
        self._write_outputs()
        return onnx_graph.model(Piece(tuple(self._nodes), self._constants), self._inputs, self._outputs)

    def _read_states(self) -> None:
        columns = self._layout.columns
        if columns:
            sizes = self._constant("state/sizes", np.array([one.width for one in columns], np.int64))
            self._nodes.append(helper.make_node("Split", [STATE, sizes], [f"state/{one.key}" for one in columns], axis=1))

    def _write_states(self) -> None:
        one = self._constant("state/one", np.ones((1, 1), np.float32))
        made: list[str] = []
        for columns in self._layout.columns:
            name = f"new/{columns.key}"
            if columns.state == SEEN:
                self._add("Max", [f"state/{columns.key}", one], name)
            made.append(name)
        self._add("Concat", made, NEW_STATE, axis=1) if made else self._add("Identity", [STATE], NEW_STATE)
        self._outputs.append(tensor(NEW_STATE, "B", self._layout.width))

    def _cut_vectors(self) -> None:
        """The head, and the outputs, see the vectors of the rows that end."""
        vectors = [reference for reference in self._plan.carried if reference not in self._sequences]
        if not vectors:
            return
        self._input(ENDING, TensorProto.INT64, "E")
        for reference in vectors:
            whole = f"{_ref(reference)}/all"
            self._rename(_ref(reference), whole)
            self._add("Gather", [whole, ENDING], _ref(reference))

    def _write_outputs(self) -> None:
        sequences = [reference for reference in self._spec.outputs if reference in self._sequences]
        if sequences:
            self._input(BACK, TensorProto.INT64, "N")
        for index, reference in enumerate(self._spec.outputs):
            name = output_name(index)
            if reference in self._sequences:
                flat = self._constant("flat/shape", np.array([-1], np.int64))
                shape, rest = f"{name}/shape", f"{name}/features"
                self._add("Shape", [_ref(reference)], shape)
                ends = [self._constant(f"flat/{end}", np.array([end], np.int64)) for end in (2, 9)]
                self._add("Slice", [shape, *ends], rest)
                self._add("Concat", [flat, rest], f"{name}/flat", axis=0)
                self._add("Reshape", [_ref(reference), f"{name}/flat"], f"{name}/steps")
                self._add("Gather", [f"{name}/steps", BACK], name)
            else:
                self._add("Identity", [_ref(reference)], name)
            self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))

    def _layer(self, layer: LayerSpec) -> None:
        inputs, made = [_ref(reference) for reference in layer.inputs], _ref(layer.name)
        match layer:
            case DenseLayer():
                self._dense(layer, inputs[0], made)
            case MaskingLayer():
                self._add("Identity", inputs, made)
            case ActivationLayer():
                self._activation(layer.activation, inputs[0], made)
            case DropoutLayer():
                scaled = [inputs[0], self._constant(f"{made}/scale", np.float32(layer.scale))]
                self._add("Identity", inputs, made) if layer.scale == 1 else self._add("Mul", scaled, made)
            case BatchNormalizationLayer():
                self._normalization(layer, inputs[0], made)
            case EmbeddingLayer():
                self._add("Gather", [self._weight(layer, "table"), inputs[0]], made)
            case LastStepLayer():
                self._add("GatherND", [inputs[0], self._lasts()], made)
            case MergeLayer():
                self._merge(layer, inputs, made)
            case _:
                self._recurrent(layer, inputs[0], made)

    def _recurrent(self, layer: Any, inputs: str, made: str) -> None:
        index = self._spec.recurrent_layers.index(layer)
        own = {name.rpartition(".")[2]: a for name, a in self._weights.items() if name.rpartition(".")[0] == layer.name}
        names = list(layer.state_widths)
        before = [f"state/{index}.{name}" for name in names]
        after = [f"new/{index}.{name}" for name in names]
        if layer.name in self._scanned:
            steps = self._scan(layer, own, inputs, before, after, made)
        else:
            steps = self._operator(layer, own, inputs, before, after, made)
        self._add("Identity", [steps if layer.return_sequences else after[0]], made)
        for name, state in zip(names, after):
            self._add("Identity", [state], f"{made}:{name}")

    def _operator(
        self, layer: OnnxLayer, own: Mapping[str, Array], inputs: str, before: list[str], after: list[str], made: str
    ) -> str:
        """The name of the outputs [T, B, units]."""
        direction = self._constant("direction/axis", np.array([0], np.int64))
        starts, ends = [f"{made}/from/{n}" for n in range(len(before))], [f"{made}/to/{n}" for n in range(len(after))]
        for state, start in zip(before, starts):
            self._add("Unsqueeze", [state, direction], start)
        self._piece(onnx_graph.piece(layer, own, (inputs, LENGTHS, *starts), (f"{made}/directions", *ends), f"{made}/"))
        for end, state in zip(ends, after):
            self._add("Squeeze", [end, direction], state)
        self._add("Squeeze", [f"{made}/directions", self._constant("directions/axis", np.array([1], np.int64))], f"{made}/steps")
        return f"{made}/steps"

    def _scan(
        self, layer: OnnxLayer, own: Mapping[str, Array], inputs: str, before: list[str], after: list[str], made: str
    ) -> str:
        """As `_operator`. A scan goes on beyond the ends of rows: their states are picked from those of all steps."""
        ends, steps = [f"{made}/to/{n}" for n in range(len(after))], [f"{made}/all/{n}" for n in range(len(after))]
        self._piece(onnx_scan.piece(layer, own, (inputs, *before), (*ends, *steps), f"{made}/"))
        for every, state in zip(steps, after):
            self._add("GatherND", [every, self._lasts()], state)
        return steps[0]

    def _lasts(self) -> str:
        """[B, 2] int64: the last step of each row, and the row."""
        if "lasts" not in {name for node in self._nodes for name in node.output}:
            zero, one = (self._constant(f"lasts/{n}", np.array(n, np.int64)) for n in (0, 1))
            last_axis = self._constant("lasts/axis", np.array([1], np.int64))
            self._add("Cast", [LENGTHS], "lasts/lengths", to=TensorProto.INT64)
            self._add("Sub", ["lasts/lengths", one], "lasts/steps")
            self._add("Shape", [LENGTHS], "lasts/shape")
            self._add("Squeeze", ["lasts/shape"], "lasts/rows")
            self._add("Range", [zero, "lasts/rows", one], "lasts/range")
            self._add("Unsqueeze", ["lasts/steps", last_axis], "lasts/column")
            self._add("Unsqueeze", ["lasts/range", last_axis], "lasts/row_column")
            self._add("Concat", ["lasts/column", "lasts/row_column"], "lasts", axis=1)
        return "lasts"

    def _dense(self, layer: DenseLayer, inputs: str, made: str) -> None:
        product = f"{made}/product"
        self._add("MatMul", [inputs, self._weight(layer, "kernel")], product)
        if layer.use_bias:
            self._add("Add", [product, self._weight(layer, "bias")], f"{made}/sum")
            product = f"{made}/sum"
        self._activation(layer.activation, product, made)

    def _activation(self, activation: Activation, inputs: str, made: str) -> None:
        if activation.name == "softmax":
            self._add("Softmax", [inputs], made, axis=-1)
        elif activation.name == "linear":
            self._add("Identity", [inputs], made)
        else:
            name, alpha, beta = onnx_activation(activation)
            parameters = {"alpha": alpha, "beta": beta}
            self._add(name, [inputs], made, **{key: value for key, value in parameters.items() if value is not None})

    def _normalization(self, layer: BatchNormalizationLayer, inputs: str, made: str) -> None:
        own = {name: self._weights.get(f"{layer.name}.{name}") for name in ("gamma", "beta", "moving_mean", "moving_variance")}
        mean, variance = own["moving_mean"], own["moving_variance"]
        if mean is None or variance is None:
            _refuse(layer, "has no statistics")
        scale = np.float32(1) / np.sqrt(variance + np.float32(layer.epsilon))
        if own["gamma"] is not None:
            scale = scale * own["gamma"]
        centred, scaled = f"{made}/centred", f"{made}/scaled"
        self._add("Sub", [inputs, self._constant(f"{made}/mean", mean)], centred)
        self._add("Mul", [centred, self._constant(f"{made}/scale", scale.astype(np.float32))], scaled)
        shift = own["beta"]
        if shift is None:
            self._add("Identity", [scaled], made)
        else:
            self._add("Add", [scaled, self._constant(f"{made}/shift", shift)], made)

    def _merge(self, layer: MergeLayer, inputs: list[str], made: str) -> None:
        if layer.mode == "concat":
            self._add("Concat", inputs, made, axis=-1)
        elif layer.mode in _MERGES:
            self._add(_MERGES[layer.mode], inputs, made)
        else:
            so_far = inputs[0]
            for place, other in enumerate(inputs[1:], start=2):
                name = made if place == len(inputs) else f"{made}/{place}"
                self._add(_PAIRWISE[layer.mode], [so_far, other], name)
                so_far = name

    def _weight(self, layer: LayerSpec, part: str) -> str:
        return self._constant(f"{_ref(layer.name)}/{part}", self._weights[f"{layer.name}.{part}"])

    def _constant(self, name: str, array: NDArray[Any] | np.float32) -> str:
        self._constants[name] = np.asarray(array)
        return name

    def _piece(self, piece: Piece) -> None:
        self._nodes += piece.nodes
        self._constants |= piece.constants

    def _add(self, operator: str, given: Sequence[str], made: str, **attributes: Any) -> None:
        self._nodes.append(helper.make_node(operator, list(given), [made], **attributes))

    def _rename(self, old: str, new: str) -> None:
        """The tensor that a node has made."""
        for node in self._nodes:
            for place, name in enumerate(node.output):
                if name == old:
                    node.output[place] = new
            for place, name in enumerate(node.input):
                if name == old:
                    node.input[place] = new

    def _input(self, name: str, kind: int, *shape: str | int) -> None:
        self._inputs.append(helper.make_tensor_value_info(name, kind, list(shape)))


def _ref(reference: str) -> str:
    return f"={reference}"


def _refuse(layer: LayerSpec, what: str) -> NoReturn:
    raise ValueError(f"layer {layer.name!r} {what}")
