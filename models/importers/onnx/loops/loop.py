"""A Loop of ONNX that goes through a sequence step by step, as a recurrent layer: how exporters write what ONNX has no node for.

What its graph hands on from step to step is told apart: what stays as it is, a counter, states. Then one step is computed on
paper, and its equations must be a cell's. Whether the loop ends when the sequence does is onnxruntime's to say, when the import
compares. Knows no cell's equations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, NodeProto

from cellserve.models.importers.onnx.file import attributes, needed
from cellserve.models.importers.onnx.layers.lookup import is_ids
from cellserve.models.importers.onnx.loops.cells import Cell, cell_of
from cellserve.models.importers.onnx.loops.expressions import Affine, Expressions
from cellserve.models.importers.onnx.loops.masked import Masks, mask_rule, repeating
from cellserve.models.importers.onnx.loops.masks import Steps
from cellserve.models.importers.onnx.loops.operators import OPERATORS, Operation
from cellserve.models.importers.onnx.node import Node
from cellserve.models.importers.onnx.tensors import TensorReader
from cellserve.models.importers.onnx.values import Axis, Flow, Given, Known, NotTranslated, Part, Value, feature

Array = npt.NDArray[Any]
Fold = Callable[[NodeProto, Sequence[Array | None]], list[Array]]
HELP: Final = (
    "it runs a graph step by step, as exporters write a recurrent layer that ONNX's own LSTM, GRU and RNN do not fit, and that "
    "graph is no cell known here"
)
WAY_OUT: Final = "; import the model's own file instead (.keras, .h5 or its state dict)"


@dataclass(frozen=True, slots=True)
class Counter:
    """The number of the step."""


@dataclass
class Step:
    """One step on paper. `read`: the sequence that it takes one step of, and as what it stands in the equations.

    `counting`: whether it is a step that counts. `mask`: what tells that, if anything does.
    """

    outer: Mapping[str, Value]
    fold: Fold
    reader: TensorReader
    expressions: Expressions = field(default_factory=Expressions)
    read: tuple[Flow, Affine] | None = None
    counting: bool = True
    mask: Flow | None = None

    def run(self, nodes: Sequence[NodeProto], scope: dict[str, Any]) -> None:
        """Adds what the nodes make to the scope. Raises NotTranslated."""
        for node in nodes:
            try:
                made = self._node(node, [self._value(name, scope) for name in node.input])
            except NotTranslated as stopped:
                stopped.node = stopped.node or f"{node.name or node.output[0]} ({node.op_type})"
                raise
            scope |= {name: value for name, value in zip(node.output, made) if name}

    def _value(self, name: str, scope: Mapping[str, Any]) -> Any:
        if not name:
            return None
        value = scope[name] if name in scope else self.outer.get(name)
        if isinstance(value, Known):
            value = _numbers(value)
        if value is None:
            raise NotTranslated(f"it reads {name!r}, which is no constant and nothing that the loop hands on")
        return value

    def _node(self, node: NodeProto, given: Sequence[Any]) -> list[Any]:
        options = attributes(node, self.reader)
        if node.op_type == "Constant":
            return [np.asarray(next(iter(options.values())))]
        if all(one is None or isinstance(one, np.ndarray) for one in given):
            return list(self.fold(node, given))
        if node.op_type == "Gather" and isinstance(given[0], Flow):
            return [self._taken(given[0], given[1], int(options.get("axis", 0)))]
        if node.op_type == "Where" and isinstance(given[0], np.ndarray) and given[0].size == 1:
            return [given[1 if given[0].item() else 2]]
        counted = [one for one in given if isinstance(one, Counter)]
        if counted:
            if node.op_type in ("Identity", "Cast", "Unsqueeze", "Squeeze", "Reshape"):
                return [counted[0]]
            raise NotTranslated("it computes with the number of the step")
        if node.op_type not in OPERATORS or any(isinstance(one, Flow | Given) for one in given):
            raise NotTranslated(f"{node.op_type} of these is nothing that a cell does")
        return OPERATORS[node.op_type](Operation(node.op_type, options, given, len(node.output), self.expressions))

    def _taken(self, flow: Flow, number: Any, axis: int) -> Affine | Array:
        if isinstance(number, Counter) and flow.axis_of("time") == axis and (isinstance(flow, Steps) or is_ids(flow)):
            return self._asked(flow)
        if not isinstance(number, Counter) or flow.axis_of("time") != axis or len(flow.axes) != 3 or flow.ids:
            raise NotTranslated("it takes something else than the next step of a sequence")
        rest = [own for place, own in enumerate(flow.axes) if place != axis]
        if [one.role for one in rest[0]] not in ([], ["batch"]) or rest[1] != flow.ordered:
            raise NotTranslated("what it takes of the sequence is not rows of features")
        if self.read is not None and self.read[0].parts != flow.parts:
            raise NotTranslated("it reads two sequences")
        self.read = self.read or (flow, self.expressions.named("x", flow.width))
        return self.read[1]

    def _asked(self, mask: Flow) -> Array:  # [B, 1]
        """Whether the step counts."""
        if self.mask is not None and self.mask.parts != mask.parts:
            raise NotTranslated("two sequences tell which steps count")
        if isinstance(mask, Steps) and (mask.each or mask.counted):
            raise NotTranslated("it asks feature by feature which steps count")
        self.mask = mask
        return np.array([[self.counting == (not isinstance(mask, Steps) or mask.counts)]])


def looped(node: Node, body: GraphProto, outer: Mapping[str, Value], fold: Fold, reader: TensorReader) -> list[Value]:
    """Of the Loop's outputs: the last states, then the sequences of what each step made. Raises NotTranslated."""
    try:
        return _looped(node, body, outer, fold, reader)
    except NotTranslated as stopped:
        raise NotTranslated(f"{HELP} ({f'at {stopped.node}: ' if stopped.node else ''}{stopped.what}){WAY_OUT}") from stopped


def _looped(node: Node, body: GraphProto, outer: Mapping[str, Value], fold: Fold, reader: TensorReader) -> list[Value]:
    handed = list(node.given[2:])
    given, made = [entry.name for entry in body.input], [entry.name for entry in body.output]
    if len(given) != 2 + len(handed) or len(made) < 1 + len(handed):
        raise NotTranslated("its graph does not hand on what it is given; the file may be damaged")
    step = Step(outer, fold, reader)
    scope: dict[str, Any] = {tensor.name: reader.read(tensor) for tensor in body.initializer}
    scope |= {given[0]: Counter()}
    makers = {name: inner for inner in body.node for name in inner.output}
    states: dict[str, Affine] = {}
    starts: dict[str, Value] = {}
    new = dict(zip(given[2:], made[1:]))
    for name, value in zip(given[2:], handed):
        if _origin(new[name], makers) == name:
            scope[name] = _numbers(value) if isinstance(value, Known) else value
        elif isinstance(value, Known) and value.arrays[0].size == 1 and value.arrays[0].dtype.kind in "iu":
            if not _counts(new[name], name, makers, scope, outer, reader) or value.fill != 0:
                raise NotTranslated(f"it counts {name!r} otherwise than by steps")
            scope[name] = Counter()
        elif value is not None:
            scope[name] = states[name] = step.expressions.named(name, _width(value))
            starts[name] = value
    scanned = made[1 + len(handed) :]
    before = dict(scope)
    nodes = needed(body, [*(new[name] for name in states), *scanned])
    step.run(nodes, scope)
    cell, masked, repeats = None, None, frozenset[str]()
    results = {name: scope[new[name]] for name in states}
    if step.read is not None and all(isinstance(value, Affine) for value in results.values()):
        if step.mask is not None:
            passed = replace(step, counting=False)
            passed.run(nodes, before)
            repeats = repeating(states, results)
            masked = mask_rule(states, repeats, {name: before[new[name]] for name in states}, [before[one] for one in scanned])
        kept = {name: value for name, value in states.items() if name not in repeats}
        cell = cell_of(step.read[1], kept, {name: results[name] for name in kept})
    if cell is None or step.read is None:
        raise NotTranslated("what it makes of the step before is not LSTM, GRU or a simple RNN")
    counters = [new[name] for name in new if isinstance(scope.get(name), Counter)]
    _require_all_steps(node, step.read[0], _end(made[0], makers, counters, {**outer, **dict(zip(given[2:], handed))}))
    shown = results[cell.states[0]]
    if any(not isinstance(scope[name], Affine) or not scope[name].same_as(shown) for name in scanned):
        raise NotTranslated("it collects something else than its state after each step")
    masks = None if step.mask is None or masked is None else Masks(step.mask, masked)
    if masks is not None and any(not _zero(starts[name]) for name in (cell.states[0], *repeats)):
        raise NotTranslated("it passes over steps, and starts from a state that is not zero")
    if masked == "zero" and any(used and inner in repeats for used, inner in zip(node.used, given[2:])):
        raise NotTranslated("what it showed last, which may be nothing, is taken for a state")
    name = _added(node, cell, step.read[0], starts, masks, sequences=bool(scanned))
    cell = replace(cell, states=(*cell.states, *repeats))
    return _outputs(node, name, cell, step.read[0], list(zip(given[2:], handed)), len(scanned), sequences=bool(scanned))


def _require_all_steps(node: Node, flow: Flow, end: Value | None) -> None:
    """`end`: the number of steps at which the loop's own graph ends it; None: it does not say."""
    bounds, axis = [one for one in (node.given[0], end) if one is not None], flow.axis_of("time") or 0
    steps = [flow.shape(trial)[axis] for trial in range(node.trials)]
    counts = [[float(array.min()) for array in one.arrays] for one in bounds if isinstance(one, Known)]
    if not counts or len(counts) < len(bounds) or any(min(each) != count for *each, count in zip(*counts, steps)):
        raise NotTranslated("it does not run once for each step of the sequence")


def _end(name: str, makers: Mapping[str, NodeProto], counters: Sequence[str], known: Mapping[str, Value | None]) -> Value | None:
    """Of a loop that goes on while its counter, already moved on, is less than a number: that number."""
    node = makers.get(_origin(name, makers))
    if node is None:
        return None
    if node.op_type == "And":
        ends = [_end(one, makers, counters, known) for one in node.input]
        return next((one for one in ends if one is not None), None)
    if node.op_type != "Less" or _origin(node.input[0], makers) not in counters:
        return None
    return known.get(_origin(node.input[1], makers))


def _numbers(value: Known) -> Array | None:
    """The same for all rows: the array, or the one number that fills it however many rows there are."""
    if value.constant is not None or value.fill is None:
        return value.constant
    return np.full((1,) * value.arrays[0].ndim, value.fill, value.arrays[0].dtype)


def _zero(value: Value) -> bool:
    return isinstance(value, Known) and value.fill == 0


def _added(node: Node, cell: Cell, flow: Flow, starts: Mapping[str, Value], masks: Masks | None, *, sequences: bool) -> str:
    draft = node.draft
    layer_states = list(cell.kind.model_validate({"name": "x", "inputs": ("x",), "units": 1}).state_widths)
    begins = [_start(node, starts[state]) for state in cell.states]
    computed = [one for one in begins if isinstance(one, str)]
    if computed and len(computed) != len(begins):
        raise NotTranslated("of its first states one is computed and another is not")
    arrays = {name: array.astype(np.float32) for name, array in cell.arrays.items()}
    biased = any(array.any() for name, array in arrays.items() if "bias" in name)
    if not biased:
        arrays = {name: array for name, array in arrays.items() if "bias" not in name}
    options = {**cell.options, "units": len(arrays["recurrent_kernel"]), "use_bias": biased, "return_sequences": sequences}
    source = draft.reference(flow, f"{node.name}_in")
    if masks is not None:
        source, backwards = masks.met(draft, source, node.name)
        options |= {"mask_rule": masks.rule, "go_backwards": backwards}
    name = draft.add(cell.kind, node.name, (source, *computed), arrays, **options)
    if masks is not None:
        draft.heedful.add(name)
    node.starts.update({(name, state): one for state, one in zip(layer_states, begins) if isinstance(one, Given)})
    return name


def _start(node: Node, value: Value) -> str | Given | None:
    if isinstance(value, Known):
        if value.fill == 0:
            return None
        raise NotTranslated("it starts from a state that is a constant other than zero")
    if isinstance(value, Given):
        return value
    flow = node.draft.lined_up(value, f"{node.name}_start")
    if flow.sequence or len(flow.axes) != 2:
        raise NotTranslated("its first state is no vector for each row")
    return node.draft.reference(flow, f"{node.name}_start")


def _outputs(
    node: Node, name: str, cell: Cell, flow: Flow, handed: Sequence[tuple[str, Value | None]], scanned: int, *, sequences: bool
) -> list[Value]:
    layer = node.draft.layers[-1]
    units, states = layer.units, list(layer.state_widths)  # type: ignore[attr-defined]
    own: Axis = (feature(units, node.trials),) if units > 1 else ()
    time, rows = (flow.axes[place] for place in (flow.axis_of("time") or 0, 1 if flow.axis_of("time") == 0 else 0))
    outputs: list[Value] = []
    for inner, value in handed:
        if inner in cell.states:
            place = cell.states.index(inner)
            state = states[place] if place < len(states) else states[0]  # the rest repeat what it shows
            reference = f"{name}:{state}" if sequences or state != "h" else name
            outputs.append(Flow((Part(reference, units, (name, state)),), (rows, own), own))
        else:
            outputs.append(value if value is not None else Known((np.zeros(0),) * node.trials))
    return [*outputs, *(Flow((Part(name, units),), (time, rows, own), own) for _ in range(scanned))]


def _width(value: Value) -> int:
    shape = (
        value.places[0].shape
        if isinstance(value, Given)
        else (value.shape(0) if isinstance(value, Flow) else value.arrays[0].shape)
    )
    if len(shape) != 2:
        raise NotTranslated(f"it hands on a tensor of {len(shape)} axes; the state of a cell has two, rows and features")
    return int(shape[1])


def _origin(name: str, makers: Mapping[str, NodeProto]) -> str:
    for _ in makers:
        if name not in makers or makers[name].op_type not in ("Identity", "Cast"):
            return name
        name = makers[name].input[0]
    return name


def _counts(
    name: str,
    before: str,
    makers: Mapping[str, NodeProto],
    scope: Mapping[str, Any],
    outer: Mapping[str, Value],
    reader: TensorReader,
) -> bool:
    """Whether it is one more than before."""
    node = makers.get(_origin(name, makers))
    if node is None or node.op_type != "Add" or before not in node.input:
        return False
    other = next((one for one in node.input if one != before), "")
    value = scope[other] if other in scope else outer.get(other)
    value = value.constant if isinstance(value, Known) else value
    if value is None and other in makers and makers[other].op_type == "Constant":
        value = next(iter(attributes(makers[other], reader).values()))
    return isinstance(value, np.ndarray) and value.ravel().tolist() == [1]
