"""A translated network held against onnxruntime on the file itself: rows alone and together, of several lengths, from states.

The outcome is the file's own answers for the gate, and what of them contradicts what the layers mean. Knows no operators.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models import reference
from cellserve.models.description.layers.carried import Carried
from cellserve.models.description.layers.stepwise import MaskingLayer
from cellserve.models.description.shapes import infer_shapes, minimum_time_steps, required_time_steps
from cellserve.models.errors import ImportRefused
from cellserve.models.importers.onnx.graph_inputs import GraphInput, Reading
from cellserve.models.importers.onnx.runtime import Answering, NotRun, OtherShape
from cellserve.models.importers.onnx.values import Flow, Given
from cellserve.models.measuring.framework_answers import FrameworkAnswers
from cellserve.models.measuring.golden_pair import vocabulary
from cellserve.models.spec import InputSpec, ModelSpec
from cellserve.models.weights import Weights

Array = npt.NDArray[Any]
SEED: Final = 20250511
LENGTHS: Final = (7, 4, 1)
ROWS: Final = 3
MOST_STEPS_TOGETHER: Final = 1024  # the oracle takes a step of a row at a time
MASKED: Final = 0.3  # of the steps, where some may not count
NEAR: Final = 1e-3  # of the largest number: farther apart is another network, not another rounding


@dataclass(frozen=True, slots=True)
class Truth:
    """`outputs`: of the graph, those that the network gives, in order; `states`: those that are final states.

    `otherwise`: why the graph is no layers at any number of steps, where it was followed at one. `names`: the network's inputs
    by the graph's; `starts`: of the layers' states by key ("0.h"), where the graph takes them from.
    """

    source: str
    runtime: Answering
    spec: ModelSpec
    weights: Weights
    inputs: Sequence[GraphInput]
    reading: Reading
    names: Mapping[str, str]
    outputs: Mapping[str, Flow]
    states: Mapping[str, Flow]
    starts: Mapping[str, Given]
    options: Mapping[str, Array]
    otherwise: str | None = None

    def answers(self) -> tuple[tuple[FrameworkAnswers, ...], tuple[str, ...]]:
        """(what onnxruntime answered wherever it agrees, notes on where it does not). Raises ImportRefused: it nowhere agrees."""
        by = self.runtime.by
        random = np.random.default_rng(SEED)
        alone, notes = self._alone(random, by)
        together, more = self._together(random, by)
        if self.starts:
            self._from_states(random)
        return (*together, *alone), (*notes, *more)

    @property
    def _who(self) -> str:
        return self.runtime.by.partition(" ")[0]

    def apart_from(self, other: Answering) -> float:
        """The largest difference between its answers and this file's, on random rows alone. Raises NotRun: it does not run."""
        random, largest = np.random.default_rng(SEED), 0.0
        for length in self._lengths():
            inputs = tuple(self._drawn(entry, 1, length, random) for entry in self.spec.inputs)
            ours, theirs = (replace(self, runtime=one)._asked(inputs, [length]) for one in (self.runtime, other))
            largest = max(largest, *(float(np.nanmax(np.abs(ours[name] - theirs[name]))) for name in ours))
        return largest

    def _lengths(self) -> list[int]:
        if (required := required_time_steps(self.spec)) is not None:
            return [required]
        fewest = minimum_time_steps(self.spec)
        declared = next((entry.dims[layout.index("t")] for entry in self.inputs if "t" in (layout := self._layout(entry))), None)
        fixed = [steps for steps in (self.reading.steps or declared,) if steps is not None and steps >= fewest]
        return list(dict.fromkeys([*fixed, *(fewest - 1 + length for length in LENGTHS)]))

    def _layout(self, entry: GraphInput) -> str:
        return self.reading.layouts[entry.name]

    def _alone(self, random: np.random.Generator, by: str) -> tuple[list[FrameworkAnswers], tuple[str, ...]]:
        """Each row by itself, at its own length."""
        lengths = self._lengths()
        steps = max(lengths)
        inputs = tuple(self._drawn(entry, len(lengths), steps, random) for entry in self.spec.inputs)
        expected, _ = reference.run(self.spec, self.weights.arrays, inputs, lengths)
        rows, wrong, other = list[int](), dict[int, str](), dict[int, str]()
        outputs = [np.zeros(one.shape, np.float32) for one in expected]
        shapes = infer_shapes(self.spec)
        for row, length in enumerate(lengths):
            cut = [
                array[row : row + 1] if entry.kind == "vector" else array[row : row + 1, :length]
                for entry, array in zip(self.spec.inputs, inputs)
            ]
            wanted = [
                one[row : row + 1, : shapes[name].step_count.steps(length)] if shapes[name].sequence else one[row : row + 1]
                for name, one in zip(self.spec.outputs, expected)
            ]
            try:
                answer = self._asked(cut, [length])
            except OtherShape as error:
                wrong[length] = other[length] = str(error)
                continue
            except NotRun as error:
                wrong[length] = f"{self._who} does not run it: {error}"
                continue
            if (what := _apart(wanted, [answer[name] for name in self.outputs])) is not None:
                wrong[length] = other[length] = what
                continue
            rows.append(row)
            for whole, name in zip(outputs, self.outputs):
                own = answer[name][0]
                whole[row][tuple(slice(size) for size in own.shape)] = own
        if not rows:
            listed = "; ".join(f"at {length} steps {what}" for length, what in list(wrong.items())[:2])
            raise ImportRefused(
                self.source, f"what its nodes mean as layers is not what {self._who} answers with the file: {listed}"
            )
        self._refuse_chance(other, [lengths[row] for row in rows])
        kept = FrameworkAnswers(
            f"{by}, row by row",
            tuple(array[rows] for array in inputs),
            tuple(array[rows] for array in outputs),
            tuple(lengths[row] for row in rows),
            time_major=False,
        )
        return [kept], self._contradictions(wrong, [lengths[row] for row in rows])

    def _refuse_chance(self, other: Mapping[int, str], right: Sequence[int]) -> None:
        """Of layers that were told at one length, and a file that does something else at another, and not nothing."""
        declared = {entry.dims[layout.index("t")] for entry in self.inputs if "t" in (layout := self.reading.layouts[entry.name])}
        if self.reading.steps is None or not other or declared == {self.reading.steps}:
            return
        length, what = min(other.items())
        raise ImportRefused(
            self.source,
            f"it is layers at {', '.join(map(str, right))} steps only: at {length} it answers something else ({what})"
            + (f". At any length: {self.otherwise}" if self.otherwise else ""),
        )

    def _contradictions(self, wrong: Mapping[int, str], right: Sequence[int]) -> tuple[str, ...]:
        if not wrong:
            return ()
        agreed = ", ".join(map(str, sorted(right)))
        what = "; ".join(f"at {length} steps {said}" for length, said in sorted(wrong.items()))
        return (
            f"The file answers as its layers do at {agreed} steps only: an exporter fixed the length in it ({what}). Other "
            "lengths are answered here as the layers mean them, which the file itself does not do.",
        )

    def _together(self, random: np.random.Generator, by: str) -> tuple[list[FrameworkAnswers], list[str]]:
        """Rows in one call: also of their own lengths where the graph is told these. Nothing where it takes no such call."""
        if self.reading.rows is not None or any("b" not in self.reading.layouts[name] for name in self.names):
            return [], []
        longest = self._lengths()[0]
        if longest > MOST_STEPS_TOGETHER or any(isinstance(layer, Carried) and not layer.together for layer in self.spec.layers):
            return [], []
        found, what = self._beside(random, by, [longest] * ROWS)
        if what is not None:
            raise ImportRefused(self.source, f"{what}. A row's answer must not depend on those beside it")
        if not any(entry.role == "lengths" for entry in self.inputs):
            return found, []
        ragged, what = self._beside(random, by, [max(1, longest - 2), longest, max(1, longest - 3)])
        if what is not None:
            return found, [f"{what}. Each row is answered here as the file answers it alone, without padding."]
        return ragged or found, []

    def _beside(self, random: np.random.Generator, by: str, lengths: list[int]) -> tuple[list[FrameworkAnswers], str | None]:
        """(the answers, how they contradict those of rows alone)."""
        inputs = tuple(self._drawn(entry, len(lengths), max(lengths), random) for entry in self.spec.inputs)
        try:
            answer = self._asked(inputs, lengths)
        except NotRun:
            return [], None
        shapes = infer_shapes(self.spec)
        expected, _ = reference.run(self.spec, self.weights.arrays, inputs, lengths)
        for name, graph_name, one in zip(self.spec.outputs, self.outputs, expected):
            for row, length in enumerate(lengths):
                steps = slice(shapes[name].step_count.steps(length) if shapes[name].sequence else None)
                if (what := _apart([one[row][steps]], [answer[graph_name][row][steps]])) is not None:
                    listed = ", ".join(map(str, lengths))
                    return [], (
                        f"{self._who} answers rows of {listed} steps in one call otherwise than each alone, in output "
                        f"{graph_name!r}: {what}"
                    )
        outputs = tuple(answer[name] for name in self.outputs)
        return [FrameworkAnswers(f"{by}, {len(lengths)} rows at once", inputs, outputs, tuple(lengths), time_major=False)], None

    def _from_states(self, random: np.random.Generator) -> None:
        """Raises ImportRefused: states of the graph that are not those of the layers."""
        rows, steps = next(iter(self.starts.values())).places[0].shape[0], self._lengths()[0]
        state = {key: random.standard_normal(given.places[0].shape).astype(np.float32) for key, given in self.starts.items()}
        inputs = tuple(self._drawn(entry, rows, steps, random) for entry in self.spec.inputs)
        try:
            answer = self._asked(inputs, [steps] * rows, state)
        except NotRun:
            rows = 1
            inputs = tuple(array[:1] for array in inputs)
            state = {key: array[:1] for key, array in state.items()}
            answer = self._asked_or_refused(inputs, [steps], state)
        wanted, final = reference.run(self.spec, self.weights.arrays, inputs, [steps] * rows, state=state)
        what = _apart(wanted, [answer[name] for name in self.outputs])
        if what is None:
            raw = {name: answer[name] for name in self.states}
            what = _apart([self._final(flow, final) for flow in self.states.values()], list(raw.values()))
        if what is not None:
            raise ImportRefused(
                self.source, f"from a given state the layers do not answer what {self._who} does with the file: {what}"
            )

    def _asked_or_refused(self, inputs: Sequence[Array], lengths: Sequence[int], state: Mapping[str, Array]) -> dict[str, Array]:
        try:
            return self._asked(inputs, lengths, state)
        except NotRun as error:
            raise ImportRefused(self.source, f"{self._who} does not run the file from a given state: {error}") from error

    def _final(self, flow: Flow, final: Mapping[str, Array]) -> Array:
        numbers = {layer.name: index for index, layer in enumerate(self.spec.recurrent_layers)}
        states = [part.state for part in flow.parts if part.state is not None]
        return np.concatenate([final[f"{numbers[layer]}.{state}"] for layer, state in states], axis=1)

    def _asked(
        self, inputs: Sequence[Array], lengths: Sequence[int], state: Mapping[str, Array] | None = None
    ) -> dict[str, Array]:
        """Outputs, then states, as the network lays them out: [B, T, F] or [B, F]. Raises NotRun."""
        asked, feeds = len(lengths), dict[str, Array]()
        rows = max(asked, self.reading.rows or 1)  # a file of so many rows is given the first again
        lengths = [*lengths, *[lengths[0]] * (rows - asked)]
        filled = [np.concatenate([array, *[array[:1]] * (rows - asked)]) for array in inputs]
        ours = dict(zip((entry.name for entry in self.spec.inputs), filled))
        for entry in self.inputs:
            layout = self.reading.layouts[entry.name]
            if entry.role in ("option", "unused"):
                feeds[entry.name] = self.options.get(entry.name, np.zeros([size or 1 for size in entry.dims], entry.dtype))
            elif entry.role == "lengths":
                feeds[entry.name] = np.array(lengths, entry.dtype).reshape([rows if letter == "b" else 1 for letter in layout])
            elif entry.role == "state":
                shape = [rows if letter == "b" else size or 1 for letter, size in zip(layout, entry.dims)]
                feeds[entry.name] = self._state(entry.name, shape, rows, state or {})
            else:
                feeds[entry.name] = laid_out(ours[self.names[entry.name]], layout).astype(entry.dtype)
        answer = self.runtime(feeds)
        flows = {**self.outputs, **self.states}
        return {name: as_ours(answer[name], flow, rows)[:asked] for name, flow in flows.items()}

    def _state(self, name: str, shape: Sequence[int], rows: int, state: Mapping[str, Array]) -> Array:
        """The graph's input that holds these states of the layers, zeros where there are none."""
        array = np.zeros(shape, np.float32)
        axis = self.reading.layouts[name].find("b")
        trial_rows = self.reading.trials[0][0]
        whole = [trial_rows if place == axis else size for place, size in enumerate(shape)]
        for key, given in self.starts.items():
            if given.name == name and key in state:
                flat = np.zeros(int(np.prod(whole)), np.float32)
                flat[given.places[0][: len(state[key])].ravel()] = state[key].ravel()
                array += np.take(flat.reshape(whole), range(rows), axis=axis) if axis >= 0 else flat.reshape(whole)
        return array

    def _drawn(self, entry: InputSpec, rows: int, steps: int, random: np.random.Generator) -> Array:
        if entry.kind == "ids":
            return random.integers(0, vocabulary(self.spec, entry.name), (rows, steps))
        shape = (rows, entry.width) if entry.kind == "vector" else (rows, steps, entry.width)
        drawn: Array = random.standard_normal(shape).astype(np.float32)  # type: ignore[arg-type]
        for layer in self.spec.layers:
            if isinstance(layer, MaskingLayer) and layer.inputs == (entry.name,):
                drawn[random.random((rows, steps)) < MASKED] = layer.mask_value
        return drawn


def laid_out(array: Array, layout: str) -> Array:  # [B, T, F], ids [B, T] or [B, F]
    """As the graph reads it. Without an axis of rows: of one row."""
    sizes = dict(zip("btf" if array.ndim == 3 else ("bt" if "t" in layout else "bf"), array.shape))
    if array.ndim == 3 and "f" not in layout:  # of one feature, which the graph has no axis for
        array, sizes = array[..., 0], {letter: sizes[letter] for letter in "bt"}
    present = [letter for letter in "btf" if letter in sizes]
    if "b" not in layout:
        array, present = array[0], present[1:]
    order = [letter for letter in layout if letter in present]
    turned = array.transpose([present.index(letter) for letter in order])
    return np.ascontiguousarray(turned.reshape([sizes[letter] if letter in order else 1 for letter in layout]))


def as_ours(array: Array, flow: Flow, rows: int) -> Array:
    """An output of the graph as [B, T, F] or [B, F]. Raises OtherShape: it does not have the shape that the layers give it."""
    atoms = [atom for axis in flow.axes for atom in axis]
    sizes = [rows if atom.role == "batch" else -1 if atom.role == "time" else atom.sizes[0] for atom in atoms]
    try:
        whole = array.reshape(sizes)
    except ValueError as error:
        raise OtherShape(f"its answer is {list(array.shape)}") from error
    order = [place for role in ("batch", "time") for place, atom in enumerate(atoms) if atom.role == role]
    order += [place for feature in flow.features for place, atom in enumerate(atoms) if atom is feature]
    turned = whole.transpose(order)
    lead = turned.shape[: len(order) - len(flow.features)]
    batch = () if any(atom.role == "batch" for atom in atoms) else (1,)
    return np.asarray(turned.reshape(*batch, *lead, flow.width), np.float32)


def _apart(wanted: Sequence[Array], found: Sequence[Array]) -> str | None:
    """How far, as a clause, if farther than rounding goes."""
    for one, other in zip(wanted, found, strict=True):
        if one.shape != other.shape:
            return f"its answer is {list(other.shape)} where the layers give {list(one.shape)}"
        both = np.isnan(one) & np.isnan(other)
        difference = np.where(both, 0.0, np.abs(one - other))
        largest = float(difference.max(initial=0.0))
        if not largest <= NEAR * (1.0 + float(np.nanmax(np.abs(one), initial=0.0))):
            return f"they lie {largest:.2g} apart"
    return None
