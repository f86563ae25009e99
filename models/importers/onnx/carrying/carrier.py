"""What of a graph is carried: nodes that no layer does, followed as far as the next recurrent node or output, then cut out.

A carried tensor is a Foreign until somebody needs it as a layer's; then the part that makes it becomes a layer, and is proved by
running it. Knows no layers but those of parts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy.typing as npt
from onnx import AttributeProto, GraphProto, NodeProto, helper, numpy_helper

from cellserve.models.description.layers.carried import LARGEST_PART_CHARACTERS, CarriedRowsLayer, CarriedStepsLayer
from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.step_counts import StepCount
from cellserve.models.importers.onnx.carrying.oracle import refuse_unless_judged
from cellserve.models.importers.onnx.carrying.part import Layout, Part, as_text
from cellserve.models.importers.onnx.carrying.trial import Trial, counted, layout_of, rows_alone, steps_alone
from cellserve.models.importers.onnx.draft import Draft
from cellserve.models.importers.onnx.file import OnnxFile
from cellserve.models.importers.onnx.folding import NEVER
from cellserve.models.importers.onnx.layers.recurrent import OPERATORS as RECURRENT
from cellserve.models.importers.onnx.loops.masks import Steps
from cellserve.models.importers.onnx.runtime import rewritten
from cellserve.models.importers.onnx.values import Atom, Flow, Given, Known, NotTranslated, Value, feature
from cellserve.models.importers.onnx.values import Part as Features
from cellserve.models.numerics.carried import Run, session_of
from cellserve.models.steps.graph_file import short

Array = npt.NDArray[Any]
LARGEST_CARRIED_NUMBERS: Final = 1 << 28
MOST_CARRIED_NODES: Final = 5_000
LARGEST_WIDTH: Final = 1 << 16
LARGEST_STACK: Final = 1 << 20
DEEPEST_ZEROS: Final = 12
MOVING_ZEROS: Final = frozenset(
    {"Identity", "Cast", "Transpose", "Squeeze", "Unsqueeze", "Reshape", "Expand", "Tile", "Slice", "Gather", "Split"}
)


@dataclass(frozen=True, slots=True)
class Foreign(Flow):
    """A tensor that a carried part computes; nothing of it is known but its name in the graph."""

    name: str = ""


def foreign(name: str) -> Foreign:
    return Foreign((), (), name=name)


@dataclass
class Carrier:
    """`makers`: of every tensor that the walk may meet, its node; `values`: what tensors stand for, so far.

    `fixed`: the number of steps at which alone the graph is followed, if it is one. `whole`: whether nothing of it is to be
    layers: cells that were unrolled are not told apart, and layers of single steps would mean something at other lengths.
    """

    file: OnnxFile
    draft: Draft
    vocabularies: Mapping[str, int]
    fixed: int | None = None
    whole: bool = False
    makers: dict[str, NodeProto] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    _made: dict[str, Flow] = field(default_factory=dict)

    def takes(self, node: NodeProto) -> bool:
        """Whether it may be run as it is: an operator on numbers, which runs no graph and draws nothing."""
        inner = any(attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for attribute in node.attribute)
        return node.op_type not in NEVER and node.op_type not in RECURRENT and not inner

    def flow(self, one: Foreign, expected: Sequence[str] | None = None) -> Flow:
        """As a layer makes it. `expected`: the roles of its axes, where they are known.

        Raises NotTranslated: it cannot be run by itself, or what it does to steps and rows is nothing that a layer may do.
        """
        if one.name not in self._made:
            self._made[one.name] = self._cut(one.name, expected)
        return self._made[one.name]

    def zeros(self, name: str, depth: int = 0) -> bool:
        """Whether nothing but zeros can be in a tensor, whatever its shape is made of: so exporters write the first states."""
        value, node = self.values.get(name), self.makers.get(name)
        if isinstance(value, Known):
            return value.fill == 0
        if node is None or depth > DEEPEST_ZEROS:
            return False
        if node.op_type == "ConstantOfShape":
            fill = next((one.t for one in node.attribute if one.name == "value"), None)
            return fill is None or not numpy_helper.to_array(fill).any()
        read = list(node.input) if node.op_type == "Concat" else list(node.input[:1]) if node.op_type in MOVING_ZEROS else []
        return bool(read) and all(self.zeros(one, depth + 1) for one in read)

    def _cut(self, name: str, expected: Sequence[str] | None) -> Flow:
        part = self._part_of_one_clock(name)
        if not part.reads:
            raise NotTranslated(f"nothing that the network computes goes into {name!r}")
        known = {place: self.vocabularies[read] for place, read in enumerate(part.reads) if read in self.vocabularies}
        trial = Trial(list(part.reads.values()), known, fixed=self.fixed)
        sequences = any(flow.sequence for flow in part.reads.values())
        shape = layout_of(trial, _run(part, None), sequences=sequences, expected=expected)
        layout = shape.layout
        if layout.width > LARGEST_WIDTH:
            raise NotTranslated(f"it makes {layout.width:,} features of each step; the limit is {LARGEST_WIDTH:,}")
        content, arrays = part.model(layout)
        if len(text := as_text(content)) > LARGEST_PART_CHARACTERS:
            raise NotTranslated(f"a part that would be carried takes {len(text):,} characters without its arrays")
        run = _run(part, layout)
        options: dict[str, Any] = {
            "graph": text,
            "constants": tuple((own, array.shape) for own, array in arrays.items()),
            "units": layout.width,
            "operators": part.operators,
        }
        kind, more, sizes = self._kind(part, trial, run, layout, rows=shape.rows)
        refuse_unless_judged(content, arrays, trial, run)
        wanted = self.makers[name].name or name
        references = [self.draft.reference(flow, f"{wanted}_in") for flow in part.reads.values()]
        made = self.draft.add(kind, wanted, references, arrays, **options, **more)
        self._remark(part, made, kind, together=more["together"] or (kind is CarriedStepsLayer and layout.sequence))
        return self._as_flow(made, layout, part, sizes)

    def _kind(
        self, part: Part, trial: Trial, run: Run, layout: Layout, *, rows: bool
    ) -> tuple[type[Layer], dict[str, Any], tuple[int, ...]]:
        """(the kind of layer, its options, the steps that it makes in each trial of the draft)."""
        sequences = [flow for flow in part.reads.values() if flow.sequence]
        if not sequences:
            return CarriedStepsLayer, {"together": rows and rows_alone(trial, run)}, ()
        clocks = {_steps(flow) for flow in sequences}
        if len(clocks) != 1:
            raise NotTranslated("it reads sequences of different numbers of steps")
        steps = clocks.pop()
        if layout.sequence and len(sequences) == len(part.reads) and steps_alone(trial, run):
            return CarriedStepsLayer, {"together": rows}, steps
        window = counted(trial, run, sequence=layout.sequence)
        options = {
            "makes": "sequence" if layout.sequence else "vector",
            "size": window.size,
            "strides": window.stride,
            "padding": window.padding,
            "together": rows and rows_alone(trial, run),
            "fixed": self.fixed is not None,
        }
        return CarriedRowsLayer, options, tuple(window.steps(count) for count in steps) if layout.sequence else ()

    def _as_flow(self, made: str, layout: Layout, part: Part, steps: tuple[int, ...]) -> Flow:
        trials = self.draft.trials
        batch = next((atom for flow in part.reads.values() for axis in flow.axes for atom in axis if atom.role == "batch"), None)
        axes: list[tuple[Atom, ...]] = []
        for axis in layout.axes:
            if axis == "batch":
                axes.append(() if batch is None else (batch,))
            elif axis == "time":
                axes.append((Atom("time", steps),))
            else:
                axes.append((feature(int(axis), trials),) if axis != 1 else ())
        ordered = tuple(atom for axis in axes for atom in axis if atom.role == "feature")
        return Flow((Features(made, layout.width),), tuple(axes), ordered)

    def _remark(self, part: Part, made: str, kind: type[Layer], *, together: bool) -> None:
        how = "step by step" if kind is CarriedStepsLayer else "over whole rows"
        if kind is CarriedRowsLayer and self.fixed is not None:
            how += f" of {self.fixed} steps"
        if not together:
            how += ", each row alone"
        listed = ", ".join(part.operators[:6]) + (" …" if len(part.operators) > 6 else "")
        self.remarks.append(
            f"What the file does in {made} ({listed}) is no layer known here: it is carried, and onnxruntime runs it {how}."
        )

    def _part_of_one_clock(self, name: str) -> Part:
        """With what shortened or lengthened some of the sequences that it reads, so that all have as many steps as were fed."""
        inside = set[str]()
        while True:
            part = self._part(name, inside)
            steps = {one: self._step_count(flow) for one, flow in part.reads.items() if flow.sequence}
            more = {one for one, count in steps.items() if count.changes and self._is_taken(one)}
            if len(set(steps.values())) <= 1 or not more:
                return part
            inside |= more

    def _step_count(self, flow: Flow) -> StepCount:
        return self.draft.shapes[flow.parts[0].reference].step_count

    def _is_taken(self, name: str) -> bool:
        return (node := self.makers.get(name)) is not None and self.takes(node)

    def _part(self, name: str, inside: Collection[str]) -> Part:
        """`inside`: tensors that it makes itself, though layers do."""
        nodes: dict[int, NodeProto] = {}
        reads: dict[str, Flow] = {}
        constants: dict[str, Array] = {}
        left, seen = [name], set[str]()
        while left:
            one = left.pop()
            if not one or one in seen:
                continue
            seen.add(one)
            value = self.values.get(one)
            if isinstance(value, Given):
                raise NotTranslated(f"the input {value.name!r} of the graph goes into {name!r}, which no layer makes")
            if isinstance(value, Foreign) and value.name != one:  # what a branch gives
                nodes[id(value)] = helper.make_node("Identity", [value.name], [one])
                left.append(value.name)
            elif isinstance(value, Known) and (array := value.constant) is not None:
                constants[one] = array
            elif isinstance(value, Flow) and one not in inside and self._goes_in(one, value):
                reads[one] = value
            else:
                node = self.makers.get(one)
                if node is None or not self.takes(node):
                    raise NotTranslated(f"{one!r} goes into {name!r}, which no layer makes, and is no plain tensor")
                nodes[id(node)] = node
                left += node.input
        if len(nodes) > MOST_CARRIED_NODES or sum(array.size for array in constants.values()) > LARGEST_CARRIED_NUMBERS:
            raise NotTranslated("the part that no layer does is too large to be carried")
        ordered = _in_order(list(nodes.values()))
        reads = dict(sorted(reads.items(), key=lambda item: not item[1].sequence))
        return Part(tuple(rewritten(ordered, self.file)), reads, name, constants, self.file.opset)

    def _goes_in(self, name: str, value: Flow) -> bool:
        """Whether it is what a layer makes, or an input; ids that something was done to are not, nor are weights of steps."""
        if isinstance(value, Foreign | Steps) or value.shares or value.weights is not None:
            return False
        return not value.ids or name not in self.makers


def _in_order(nodes: list[NodeProto]) -> list[NodeProto]:
    """Each behind those whose tensors it reads."""
    makers = {name: node for node in nodes for name in node.output if name}
    done: dict[int, NodeProto] = {}
    left = [(node, False) for node in reversed(nodes)]
    while left:
        node, ready = left.pop()
        if ready:
            done[id(node)] = node
        elif id(node) not in done:
            left.append((node, True))
            left += [(makers[name], False) for name in node.input if name in makers and id(makers[name]) not in done]
            if len(left) > LARGEST_STACK:
                raise NotTranslated("the part that no layer does is too tangled to be carried")
    return list(done.values())


def _steps(flow: Flow) -> tuple[int, ...]:
    return next(atom.sizes for axis in flow.axes for atom in axis if atom.role == "time")


def _run(part: Part, layout: Layout | None) -> Run:
    content, arrays = part.model(layout)
    try:
        return session_of(content, arrays)
    except MemoryError:
        raise
    except Exception as error:  # onnxruntime's own kinds, which share no base
        raise NotTranslated(f"onnxruntime does not load the part that no layer does: {short(error)}") from error


def vocabularies(graph: GraphProto) -> dict[str, int]:
    """Of tensors that a table is looked up by: its length."""
    sizes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    found: dict[str, int] = {}
    for node in graph.node:
        if node.op_type == "Gather" and len(node.input) == 2 and (shape := sizes.get(node.input[0])):
            found[node.input[1]] = min(int(shape[0]), found.get(node.input[1], int(shape[0])))
    return found
