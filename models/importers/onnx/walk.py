"""An ONNX graph followed node by node, with known numbers folded and branches resolved, until its outputs are told in layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import AttributeProto, GraphProto, NodeProto
from pydantic import ValidationError

from cellserve.models.errors import InvalidSpec
from cellserve.models.importers.onnx.carrying.carrier import Carrier, Foreign, foreign
from cellserve.models.importers.onnx.draft import Draft
from cellserve.models.importers.onnx.file import OnnxFile, attributes, needed, read_by
from cellserve.models.importers.onnx.folding import Folding
from cellserve.models.importers.onnx.layers.gelu import Gelu, gelus
from cellserve.models.importers.onnx.layers.lookup import is_ids, of_ids
from cellserve.models.importers.onnx.layers.normalization import Normalization, normalizations
from cellserve.models.importers.onnx.layers.recurrent import OPERATORS as RECURRENT
from cellserve.models.importers.onnx.layers.softmaxes import WrittenOut, softmaxes
from cellserve.models.importers.onnx.layers.standardizing import Standardization, standardizations
from cellserve.models.importers.onnx.layers.unit_length import UnitLength, unit_lengths
from cellserve.models.importers.onnx.loops import masks
from cellserve.models.importers.onnx.loops.loop import looped
from cellserve.models.importers.onnx.node import Node
from cellserve.models.importers.onnx.operators import LOOP_HELP, LOOPS, MOVING, OF_IDS, OPERATORS
from cellserve.models.importers.onnx.values import Flow, Given, Known, NotTranslated, Value

Array = npt.NDArray[Any]
Whole = Normalization | Gelu | WrittenOut | UnitLength | Standardization
"""What several nodes are as one."""


@dataclass
class Walk:
    """`inputs`: what the graph's inputs stand for; `draft`: what is made. `followed`: how many nodes were understood."""

    file: OnnxFile
    draft: Draft
    inputs: Mapping[str, Value]
    folding: Folding
    starts: dict[tuple[str, str], Given] = field(default_factory=dict)
    followed: int = 0
    carrier: Carrier | None = None

    def run(self, outputs: Sequence[str]) -> list[Value]:
        """What these tensors stand for. Raises NotTranslated naming the node."""
        scope: dict[str, Value] = {name: Known((array,) * self.draft.trials) for name, array in self.file.constants.items()}
        scope |= self.inputs
        for value in self.inputs.values():
            if isinstance(value, Flow):
                self._remember(value)
        if self.carrier is None:
            return self._graph(self.file.graph, outputs, scope)
        self.carrier.values |= scope
        made = self._graph(self.file.graph, outputs, scope)
        return [self._as_layers_do(self.carrier, name, value) for name, value in zip(outputs, made)]

    def _as_layers_do(self, carrier: Carrier, name: str, value: Value) -> Value:
        if isinstance(value, Flow) and (value.shares or value.weights is not None):
            value = foreign(name)
        return carrier.flow(value) if isinstance(value, Foreign) else value

    def _graph(self, graph: GraphProto, outputs: Sequence[str], scope: Mapping[str, Value]) -> list[Value]:
        own = {**scope}
        nodes = needed(graph, outputs)
        uses = Counter(name for node in nodes for name in read_by(node)) + Counter(outputs)
        whole: dict[str, Whole] = {**normalizations(nodes, uses), **gelus(nodes, uses), **softmaxes(nodes, uses)}
        whole |= unit_lengths(nodes, uses)
        whole |= standardizations(nodes, uses)
        if self.carrier is not None:
            self.carrier.makers |= {name: node for node in nodes for name in node.output if name}
        within = {name for one in whole.values() for name in one.inner}
        for node in nodes:
            if node.output[0] in within:
                continue
            name = node.name or next((one for one in node.output if one), node.op_type)
            try:
                made = self._translated_or_carried(node, name, own, uses, whole.get(node.output[0]))
            except NotTranslated as stopped:
                stopped.node = stopped.node or f"{name} ({node.op_type})"
                raise
            except (ValidationError, InvalidSpec) as error:
                what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
                raise NotTranslated(str(what), f"{name} ({node.op_type})") from error
            except (
                TypeError,
                ValueError,
                LookupError,
                AttributeError,
                ArithmeticError,
                RecursionError,
            ) as error:  # odd attributes
                what = f"it is of a form not known here ({type(error).__name__}: {error}); the file may be damaged"
                raise NotTranslated(what, f"{name} ({node.op_type})") from error
            for value in made:
                if isinstance(value, Flow) and not value.shares and not isinstance(value, Foreign):
                    self._remember(value)
            named = {output: value for output, value in zip(node.output, made) if output}
            own |= named
            if self.carrier is not None:
                self.carrier.values |= named
            self.followed += 1
        for output in outputs:
            if output not in own:
                raise NotTranslated(f"nothing makes its output {output!r}; the file is damaged")
        return [own[output] for output in outputs]

    def _translated_or_carried(
        self, node: NodeProto, name: str, own: Mapping[str, Value], uses: Counter[str], whole: Whole | None
    ) -> list[Value]:
        try:
            if self.carrier is not None and self.carrier.whole and any(isinstance(own.get(one), Flow) for one in node.input):
                raise NotTranslated("it is a part of cells that were unrolled")
            return self._node(node, name, own, uses, whole)
        except (NotTranslated, ValidationError, InvalidSpec):
            given = [own.get(one) for one in (node.input if whole is None else [whole.read])]
            if self.carrier is None or not self.carrier.takes(node) or not any(isinstance(one, Flow) for one in given):
                raise
            return [foreign(output) for output in node.output]

    def _remember(self, flow: Flow) -> None:
        """How many steps it has, for what is repeated for each of them."""
        for one in (one for axis in flow.axes for one in axis if one.role == "time"):
            self.draft.sequences.setdefault(one.sizes, flow.parts[0].reference)

    def _node(
        self, node: NodeProto, name: str, scope: Mapping[str, Value], uses: Counter[str], whole: Whole | None
    ) -> list[Value]:
        read = node.input if whole is None else [whole.read]
        given = [self._read(one, scope, uses) for one in read]
        if any(isinstance(one, Foreign) for one in given):
            given = self._cut_before(node, given)
        if node.op_type in LOOPS:
            return self._loop(node, name, given, scope, uses)
        if node.op_type == "If":
            return self._branch(node, given, scope)
        if node.op_type in ("Shape", "Size"):
            return self._shape(node, given[0])
        plain = [one for one in given if not (isinstance(one, Known) and one.arrays[0].size == 1)]
        if node.op_type in OF_IDS and plain and all(is_ids(one) for one in plain):
            return [of_ids(node, given, self.folding.fold)]
        facts = Node(
            node.op_type, name, attributes(node, self.file.reader), given, [bool(one) and uses[one] > 0 for one in node.output],
            self.file.opset, self.draft, self.starts,
        )  # fmt: skip
        if whole is None and (made := masks.translated(facts)) is not None:
            return made
        if node.op_type not in OPERATORS or all(one is None or isinstance(one, Known) for one in given):
            return self._folded(node, given)
        if node.op_type in MOVING and any(isinstance(one, Given) for one in given):
            return self._moved(node, given)
        if whole is not None:
            return [whole.layer(facts, given[0], scope)]
        return OPERATORS[node.op_type](facts)

    def _cut_before(self, node: NodeProto, given: Sequence[Value | None]) -> list[Value | None]:
        """With what is carried as layers. Raises NotTranslated: it is carried too."""
        if self.carrier is None or (node.op_type not in RECURRENT and node.op_type not in LOOPS):
            raise NotTranslated("what it reads is made of what no layer does")
        batch_first = bool(attributes(node).get("layout", 0)) if node.op_type in RECURRENT else False
        states = ("batch", "side", "feature") if batch_first else ("side", "batch", "feature")
        roles = {0: ("batch", "time", "feature") if batch_first else ("time", "batch", "feature"), 5: states, 6: states}
        arrived: list[Value | None] = []
        for place, one in enumerate(given):
            if not isinstance(one, Foreign):
                arrived.append(one)
            elif node.op_type in RECURRENT and place in (5, 6) and self.carrier.zeros(one.name):
                arrived.append(None)
            else:
                arrived.append(self.carrier.flow(one, roles.get(place) if node.op_type in RECURRENT else None))
        return arrived

    def _read(self, name: str, scope: Mapping[str, Value], uses: Counter[str]) -> Value | None:
        if not name:
            return None
        if name not in scope:
            raise NotTranslated(f"it reads {name!r}, which no earlier node makes; the file is damaged")
        value = scope[name]
        plain = not isinstance(value, Flow) or isinstance(value, Foreign)
        return replace(value, shared=True) if isinstance(value, Flow) and not plain and uses[name] > 1 else value

    def _branch(self, node: NodeProto, given: Sequence[Value | None], scope: Mapping[str, Value]) -> list[Value]:
        condition = given[0] if given else None
        chosen = condition.constant if isinstance(condition, Known) else None
        if chosen is None or chosen.size != 1:
            raise NotTranslated("which of its branches runs depends on what the model is given")
        side = "then_branch" if bool(np.ravel(chosen)[0]) else "else_branch"
        graph = next((one.g for one in node.attribute if one.name == side), None)
        if graph is None or len(graph.output) != len(node.output):
            raise NotTranslated(f"it has no {side}; the file is damaged")
        trials = self.draft.trials
        inner = {tensor.name: Known((self.file.reader.read(tensor),) * trials) for tensor in graph.initializer}
        return self._graph(graph, [one.name for one in graph.output], {**scope, **inner})

    def _loop(
        self, node: NodeProto, name: str, given: Sequence[Value | None], scope: Mapping[str, Value], uses: Counter[str]
    ) -> list[Value]:
        body = next((one.g for one in node.attribute if one.name == "body"), None)
        if node.op_type != "Loop" or body is None:
            raise NotTranslated(LOOP_HELP)
        facts = Node(
            node.op_type, name, {}, given, [bool(one) and uses[one] > 0 for one in node.output],
            self.file.opset, self.draft, self.starts,
        )  # fmt: skip
        return looped(facts, body, scope, self.folding.fold, self.file.reader)

    def _shape(self, node: NodeProto, value: Value | None) -> list[Value]:
        if value is None:
            raise NotTranslated("it has no input; the file is damaged")
        shapes = []
        for trial in range(self.draft.trials):
            if isinstance(value, Flow):
                shapes.append(value.shape(trial))
            else:
                shapes.append((value.arrays if isinstance(value, Known) else value.places)[trial].shape)
        if node.op_type == "Size":
            return [Known(tuple(np.array(int(np.prod(shape)), np.int64) for shape in shapes))]
        options = attributes(node)
        part = slice(options.get("start", 0), options.get("end"))
        return [Known(tuple(np.array(shape[part], np.int64) for shape in shapes))]

    def _folded(self, node: NodeProto, given: Sequence[Value | None]) -> list[Value]:
        known: list[Known | None] = []
        for one in given:
            if one is not None and not isinstance(one, Known):
                raise NotTranslated(f"{node.op_type} is no operator that a layer is made of")
            known.append(one)
        if any(attribute.type == AttributeProto.GRAPH for attribute in node.attribute):
            raise NotTranslated(f"{node.op_type} runs a graph of its own, which is not followed")
        if node.op_type == "Constant":
            return [self._constant(node)]
        rows = [[None if one is None else one.arrays[trial] for one in known] for trial in range(self.draft.trials)]
        if all(one is None or one.constant is not None for one in known):
            rows = rows[:1]
        made = [self.folding.fold(node, row) for row in rows]
        made *= self.draft.trials // len(made)
        return [Known(tuple(_plain(trial[place]) for trial in made)) for place in range(len(node.output))]

    def _constant(self, node: NodeProto) -> Known:
        found = attributes(node, self.file.reader)
        value = next(iter(found.values()), None)
        if value is None or isinstance(value, str) or any(key in found for key in ("sparse_value", "value_strings")):
            raise NotTranslated("it is a constant that is no array of numbers")
        array = np.asarray(value)
        if array.dtype == np.float64 and "value" not in found:
            array = array.astype(np.float32)
        return Known((array,) * self.draft.trials)

    def _moved(self, node: NodeProto, given: Sequence[Value | None]) -> list[Value]:
        """States, element by element."""
        states = [one for one in given if isinstance(one, Given)]
        names = {one.name for one in states}
        if len(names) != 1 or any(isinstance(one, Flow) for one in given):
            raise NotTranslated(f"it joins the inputs {' and '.join(sorted(names))} of the graph with something else")
        if node.op_type == "Cast":
            return [states[0]]
        made = []
        for trial in range(self.draft.trials):
            row = [
                one.places[trial] if isinstance(one, Given) else one.arrays[trial] if isinstance(one, Known) else None
                for one in given
            ]
            made.append(self.folding.fold(node, row))
        return [replace(states[0], places=tuple(trial[place] for trial in made)) for place in range(len(node.output))]


def _plain(array: Any) -> Any:
    return array.astype(np.float32) if array.dtype == np.float16 else array
