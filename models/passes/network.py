"""A network run in passes: each chunk of a pass exact for every row at its own length, whatever the cuts and the batch-mates.

Together the passes answer what `Network.run` answers to whole rows. Knows no queue, no threads, and not where rows are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.description.shapes import required_steps
from cellserve.models.description.state_layout import StateLayout
from cellserve.models.description.step_counts import ONWARD, TURNED, Fed, Order
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.graph import Graph
from cellserve.models.implementations.kernel import LayerState
from cellserve.models.numerics.row_lengths import RowLengths
from cellserve.models.numerics.value import Value
from cellserve.models.numerics.windows import Windowed, reduction_of
from cellserve.models.passes.chunk import PassAdvance, PassChunk
from cellserve.models.passes.cutting import cut
from cellserve.models.passes.memory import Array, PassMemory
from cellserve.models.passes.plan import Pass, View
from cellserve.models.spec import LayerSpec, ModelSpec
from cellserve.models.state import RecurrentState


@dataclass(frozen=True, slots=True)
class _Seen:
    """A view of a chunk: values by reference, masks by the tensor that made them."""

    values: dict[str, Value]
    masks: Mapping[str, Tensor | None]


_NOTHING = _Seen({}, {})


class PassNetwork:
    """`passes`: the cut network. Raises InvalidSpec: layers that do not fit together."""

    def __init__(
        self,
        spec: ModelSpec,
        shapes: Mapping[str, TensorShape],
        graph: Graph,
        layout: StateLayout,
        device: torch.device,
    ) -> None:
        self._spec = spec
        self._graph = graph
        self._layout = layout
        self._device = device
        self._plan = cut(spec)
        self._required_steps = required_steps(spec)
        self.passes = self._plan.passes
        self._totals: list[dict[str, Array]] = [
            {layer.name: reduction_of(layer).start(*shapes[layer.inputs[0]].features).numpy() for layer in one.pooled}
            for one in self.passes
        ]

    def steps(self, fed: Fed) -> tuple[int, ...]:
        """The time steps of each pass for a row of `fed`; 0 where the row is too short for a window."""
        return self._plan.steps(fed)

    def most_stored_bytes(self, fed: Fed) -> int:
        """The most that a row of `fed` time steps has stored between its passes at any time, its inputs and masks not counted."""
        return 4 * self._plan.most_stored(fed)

    def memory(self, inputs: Sequence[Array], mask: Array | None) -> PassMemory:
        """Of a sequence before its first pass. inputs: as the spec lists them, [T, F], ids [T] or vectors [width]; mask [T].

        Raises ValueError for a sequence of other time steps than a layer needs (`required_steps`).
        """
        named = {entry.name: (entry.kind, array) for entry, array in zip(self._spec.inputs, inputs, strict=True)}
        first = self._spec.inputs[0].name
        for (kind, array), required in zip(named.values(), self._required_steps):
            if kind != "vector" and required not in (None, len(array)):
                raise ValueError(f"the network needs sequences of {required} time steps; one has {len(array)}")
        memory = PassMemory(
            {name: array for name, (kind, array) in named.items() if kind != "vector"},
            {} if mask is None else {first: mask},
            {name: array for name, (kind, array) in named.items() if kind == "vector"},
        )
        memory.totals = dict(self._totals[0])
        return memory

    def end_pass(self, index: int, memory: PassMemory, vectors: Mapping[str, Array]) -> None:
        """Keeps what pass `index` has made of a row that ended it, frees what nobody reads any more."""
        memory.vectors |= vectors
        memory.free(self.passes[index].freed, self.passes[index].freed_masks)
        memory.totals = dict(self._totals[index + 1]) if index + 1 < len(self.passes) else {}

    def outputs(self, memory: PassMemory) -> list[Array]:
        """The model's outputs after the last pass: [T, …] or […]; what was an input is copied."""
        given = {entry.name for entry in self._spec.inputs}
        kept = memory.sequences | memory.vectors
        return [kept[name].copy() if name in given else kept[name] for name in self._spec.outputs]

    @torch.inference_mode()
    def advance(
        self, index: int, chunk: PassChunk, state: RecurrentState, *, implementation: str, ended_states: bool = True
    ) -> tuple[PassAdvance, RecurrentState]:
        """The next chunk of pass `index`; `state` is left as it was, and holds all layers' states.

        ended_states: as in `Network.advance`; of the layers of this pass.
        """
        one = self.passes[index]
        ends = RowLengths(chunk.lengths, max(chunk.lengths), self._device)
        start = self._started(one, chunk, state)
        seen = {view.order: self._seen(view, chunk, ends, start, implementation) for view in one.views}
        onward = seen.get(ONWARD, _NOTHING)
        values, states = dict(onward.values), list[LayerState]()
        for layer in one.entries:
            if isinstance(layer, RecurrentLayer):
                local = {layer.inputs[0]: seen[TURNED].values[layer.inputs[0]]}
                states += self._graph.evaluate((layer,), local, start, implementation, ended_states)
                made = local.pop(layer.name)
                del local[layer.inputs[0]]
                values |= local
                values[layer.name] = replace(made, mask=self._onward_mask(layer, onward)) if layer.return_sequences else made
            else:
                values[layer.name] = self._entered(layer, chunk, seen, ends)
        states += self._graph.evaluate(one.body, values, start, implementation, ended_states)
        advance = PassAdvance(
            {name: values[name].tensor for name in one.stored},
            {name: mask for name in one.stored_masks if (mask := values[name].mask) is not None},
            {name: values[name].tensor for name in one.carried},
            {layer.name: reduction_of(layer).add(chunk.totals[layer.name], values[layer.inputs[0]]) for layer in one.pooled},
        )
        recurrent = [layer.name for layer in (*one.entries, *one.body) if isinstance(layer, RecurrentLayer)]
        return advance, self._joined(start, dict(zip(recurrent, states)))

    @torch.inference_mode()
    def finish(
        self, index: int, made: PassAdvance, chunk: PassChunk, memories: Sequence[PassMemory], rows: Sequence[int]
    ) -> dict[str, Tensor]:
        """Every vector [rows, …] that the pass keeps, of rows that end it; `memories`: those of these rows, all stored.

        Sequences that layers make of whole rows are put there.
        """
        one = self.passes[index]
        taken = torch.tensor(rows, dtype=torch.int64, device=self._device)
        vectors = {**chunk.vectors, **made.vectors}
        vectors |= {layer.name: reduction_of(layer).result(made.totals[layer.name]) for layer in one.pooled}
        values = {name: Value(vector.index_select(0, taken)) for name, vector in vectors.items()}
        values |= {name: self._whole([memory.sequences[name] for memory in memories]) for name in one.whole}
        nothing = RecurrentState.zeros(self._layout, 0, self._device)
        self._graph.evaluate(one.head, values, nothing, "")
        for name in one.stored_whole:
            made_whole, counts = values[name].tensor.numpy(force=True), values[name].ends.host
            for column, memory in enumerate(memories):
                memory.put(name, 0, made_whole[: counts[column], column], counts[column])
        return {name: values[name].tensor for name in one.kept}

    def _seen(self, view: View, chunk: PassChunk, ends: RowLengths, state: RecurrentState, implementation: str) -> _Seen:
        order = view.order
        if not isinstance(order, str):
            ends = RowLengths([order.span(length) for length in ends.host], order.span(ends.steps), self._device)
        masks: dict[str, Tensor | None] = {source: chunk.masks.get((order, source)) for source in view.masks}
        values = {
            name: Value(chunk.sequences[order, name], ends, masks.get(self._plan.masks.get(name, ""))) for name in view.references
        }
        self._graph.evaluate(view.layers, values, state, implementation)
        masks |= {layer.name: values[layer.name].mask for layer in view.layers}
        for name in view.references:
            if (source := self._plan.masks.get(name)) in masks:
                values[name] = replace(values[name], mask=masks[source])
        return _Seen(values, masks)

    def _entered(self, layer: LayerSpec, chunk: PassChunk, seen: Mapping[Order, _Seen], ends: RowLengths) -> Value:
        if layer.order == TURNED:
            mask = self._onward_mask(layer, seen.get(ONWARD, _NOTHING))
            return Value(seen[TURNED].values[layer.inputs[0]].tensor, ends, mask)
        if whole := layer.inputs[layer.whole_inputs]:
            given = seen[ONWARD].values[layer.inputs[0]]
            others = [
                Value(tensor, RowLengths(own, len(tensor), self._device)) for tensor, own in map(chunk.wholes.__getitem__, whole)
            ]
            return self._graph.steps[layer.name](given, *others)
        if layer.repeats:
            vector = chunk.vectors[layer.inputs[0]]
            if len(layer.inputs) > 1:  # for each step of another sequence, whatever is made of that
                return Value(vector.expand(ends.steps, *vector.shape), ends)
            made = self._graph.steps[layer.name](Value(vector)).tensor
            steps = torch.arange(ends.steps, device=self._device).unsqueeze(1) + torch.tensor(chunk.starts, device=self._device)
            rows = torch.arange(made.shape[1], device=self._device)
            return Value(made[steps.clamp(max=len(made) - 1), rows], ends)
        windowed = self._graph.steps[layer.name]
        if not isinstance(windowed, Windowed):
            raise TypeError(f"layer {layer.name!r} ({layer.kind}) cannot be the first of a pass")
        x = seen[windowed.change].values[layer.inputs[0]].tensor
        firsts, steps = torch.tensor(chunk.firsts[windowed.change], device=self._device).unbind(1)
        reached = torch.arange(len(x), device=self._device).unsqueeze(1) + firsts  # [P, B]
        inside = windowed.change.inside(reached, steps)
        there = inside.reshape(*inside.shape, *(1,) * (x.dim() - 2))
        return Value(windowed.compute(torch.where(there, x, x.new_zeros(())), inside), ends)

    def _onward_mask(self, layer: LayerSpec, onward: _Seen) -> Tensor | None:
        """Of a layer that turns its input round: the mask stays as it was."""
        return onward.masks.get(self._plan.masks.get(layer.name, ""))

    def _started(self, one: Pass, chunk: PassChunk, state: RecurrentState) -> RecurrentState:
        """With the initial states that the network computes, in rows that begin the pass."""
        if not one.starts or not any(chunk.starting):
            return state
        started = RecurrentState(state.layout, state.data.clone())
        starting = torch.tensor(chunk.starting, device=self._device).unsqueeze(1)
        for start in one.starts:
            view = started.view(self._graph.recurrent_index[start.layer], start.state)
            view.copy_(torch.where(starting, chunk.vectors[start.vector], view))
        return started

    def _joined(self, state: RecurrentState, new: Mapping[str, LayerState]) -> RecurrentState:
        """`state` with the new states of some layers."""
        if not new:
            return state
        columns = [
            new[one.layer_name][one.state] if one.layer_name in new else state.data[:, one.start : one.start + one.width]
            for one in self._layout.columns
        ]
        return RecurrentState(self._layout, torch.cat(columns, dim=1))

    def _whole(self, rows: Sequence[Array]) -> Value:  # each [T, …]
        lengths = [len(row) for row in rows]
        area = np.zeros((max(lengths), len(rows), *rows[0].shape[1:]), rows[0].dtype)
        for column, row in enumerate(rows):
            area[: len(row), column] = row
        return Value(torch.from_numpy(area).to(self._device), RowLengths(lengths, len(area), self._device))
