"""A network on a device: its layers with their weights, run over ragged batches exactly, row by row.

A causal network is advanced chunk by chunk and finished where rows end; any network can be run over whole sequences. Every row
answers as if it were alone and whole: neither its batch-mates, nor the cuts into chunks, nor what stands beyond its length
show (but for rounding). Knows no versions, no padding policy, no threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from cellserve.models.chunk_body import Advance, ChunkBody
from cellserve.models.description.causal_plan import causal_plan
from cellserve.models.description.shapes import fitting, infer_shapes, minimum_time_steps, required_time_steps
from cellserve.models.description.state_layout import StateLayout
from cellserve.models.description.step_counts import Fed, steps_of
from cellserve.models.errors import Unsupported
from cellserve.models.graph import Graph
from cellserve.models.implementations import IMPLEMENTATIONS, Implementation, packed
from cellserve.models.implementations.onnxruntime.chunk_call import ChunkCall
from cellserve.models.numerics.row_lengths import RowLengths
from cellserve.models.numerics.uploads import indices
from cellserve.models.numerics.value import Value
from cellserve.models.passes.network import PassNetwork
from cellserve.models.recording.cuda_recorder import CudaRecorder
from cellserve.models.recording.recorder import Recorder
from cellserve.models.recording.recordings import RECORDED_AT, Recordings
from cellserve.models.spec import InputSpec, ModelSpec
from cellserve.models.state import RecurrentState
from cellserve.models.weights import Weights

_PREFERENCE = {
    "cpu": ("onnxruntime", "packed", "fused", "2", "0", "1"),
    "cuda": ("fused", "2", "0", "1", "packed", "onnxruntime"),
}


class Network:
    """`implementations`: every label, with None where it can run this network, else the sentence why not.

    `passes`: in which a network that is not causal is advanced chunk by chunk; None for a causal one. recorder: what records
    chunks that come again, so that they run in one launch; None: the device's own, if it has one.
    Raises InvalidSpec, InvalidWeights: layers that do not fit together, arrays that do not fit the layers.
    """

    def __init__(self, spec: ModelSpec, weights: Weights, device: str = "cpu", recorder: Recorder | None = None) -> None:
        self.spec = spec
        self.shapes = infer_shapes(spec)
        weights.check(spec)
        self.device = torch.device(device)
        if self.device.type == "cuda":
            _use_whole_float32()
            recorder = recorder or CudaRecorder(self.device)
        self.state_layout = StateLayout.of(spec)
        self.implementations: Mapping[str, str | None] = MappingProxyType(
            {label: _refusal(spec, label, implementation) for label, implementation in IMPLEMENTATIONS.items()}
        )
        supported = [label for label, refusal in self.implementations.items() if refusal is None]
        self._plan = causal_plan(spec)
        self._graph = Graph.prepare(spec, weights, self.device, supported)
        self._body = ChunkBody(self._graph, self._plan, spec.inputs[0].name, self.state_layout)
        self._recordings = None if recorder is None else Recordings(recorder, self._body, supported)
        self.passes: PassNetwork | None = None
        if not self._plan.causal:
            self.passes = PassNetwork(spec, self.shapes, self._graph, self.state_layout, self.device)
        self._chunk_calls: dict[str, ChunkCall | None] = {}
        if self.device.type == "cpu" and "onnxruntime" in supported:
            self._chunk_calls["onnxruntime"] = ChunkCall.of(spec, self._plan, self.shapes, weights.arrays)
        if self.device.type == "cpu" and "packed" in supported:
            layers = {layer.name: packed.layer_of(self._graph.kernels["packed", layer.name]) for layer in spec.recurrent_layers}
            self._chunk_calls["packed"] = ChunkCall.packed(spec, self._plan, self.shapes, weights.arrays, layers)

    @property
    def causal(self) -> bool:
        """One forward pass: it can be advanced chunk by chunk."""
        return self._plan.causal

    @property
    def offered(self) -> list[str]:
        """The labels that can run it; what is fast in most cases, on its kind of device, comes first."""
        return [label for label in _PREFERENCE[self.device.type] if self.implementations[label] is None]

    @property
    def default_implementation(self) -> str:
        """The first of the offered; "2", which runs every layer, were nothing left."""
        return next(iter(self.offered), "2")

    @property
    def settling_calls(self) -> int:
        """How many calls of a shape it takes until such calls run as they will from then on: none where nothing is recorded."""
        return 0 if self._recordings is None else RECORDED_AT

    def initial_state(self, rows: int) -> RecurrentState:
        return RecurrentState.zeros(self.state_layout, rows, self.device)

    @torch.inference_mode()
    def advance(
        self,
        inputs: Tensor,  # [T, B, F] float32, or ids [T, B] int64
        lengths: Sequence[int],  # [B], each 1 … T
        state: RecurrentState,
        *,
        mask: Tensor | None = None,  # [T, B] bool, True = valid
        implementation: str,
        ended_states: bool = True,
    ) -> tuple[Advance, RecurrentState]:
        """The next chunk of a causal network: row b is advanced by exactly lengths[b] steps; `state` is left as it was.

        ended_states: whether the new states of rows shorter than T are wanted. If not, these rows of the returned state may
        hold anything, which is cheaper in some kernels; outputs, and the states of rows of T steps, are exact all the same.
        Raises Unsupported: not a causal network, or an implementation that cannot run it. ValueError: lengths out of range.
        """
        if self._plan.obstacle is not None:
            raise Unsupported(f"the network cannot be advanced chunk by chunk: {self._plan.obstacle}")
        self._require(implementation)
        ends = RowLengths(lengths, len(inputs), self.device)
        if self._recordings is not None and mask is None:
            made = self._recordings.advance(inputs, ends, state, implementation)
            if made is not None:
                return made
        return self._body(inputs, ends, state, mask, implementation, ended_states)

    def chunk_call(self, implementation: str) -> ChunkCall | None:
        """What advances and finishes a chunk in one call over host memory, without masks: the numbers of `advance` and `finish`.

        None where this implementation has no such way. Raises Unsupported as `advance` does.
        """
        self._require(implementation)
        return self._chunk_calls.get(implementation)

    @torch.inference_mode()
    def finish(self, advance: Advance, rows: Sequence[int]) -> tuple[Tensor, ...]:
        """Every model output for these rows of the chunk: its sequences [T, rows, …]; vectors [rows, …] at each row's end."""
        index = indices(rows, self.device)
        values = {reference: Value(vector.index_select(0, index)) for reference, vector in advance.vectors.items()}
        self._graph.evaluate(self._plan.head, values, self.initial_state(0), self.default_implementation)
        return tuple(
            advance.sequences[reference].index_select(1, index) if reference in advance.sequences else values[reference].tensor
            for reference in self.spec.outputs
        )

    @torch.inference_mode()
    def run(
        self,
        inputs: tuple[Tensor, ...],  # as the spec lists them: [T, B, F], ids [T, B], or vectors [B, width]
        lengths: Sequence[Fed],  # [B], each 1 … T, of all inputs or each
        state: RecurrentState | None = None,
        *,
        mask: Tensor | None = None,  # [T, B] bool, True = valid: the mask of the first input
        implementation: str,
        ended_states: bool = True,  # as in `advance`
    ) -> tuple[tuple[Tensor, ...], RecurrentState]:
        """Whole sequences through any network: (outputs [T, B, …] or [B, …], arbitrary beyond each length; the final state).

        A row of a sequence output has `shapes[…].step_count.steps(length)` steps. Raises Unsupported: an implementation that
        cannot run it. ValueError: lengths out of range, or not those that a layer needs (`required_steps`, `fewest_steps`).
        """
        self._require(implementation)
        rows = len(lengths)
        values = {
            entry.name: Value(tensor)
            if entry.kind == "vector"
            else Value(tensor, self._ends(index, tensor, lengths), mask if index == 0 else None)
            for index, (entry, tensor) in enumerate(zip(self.spec.inputs, inputs, strict=True))
        }
        start = self.initial_state(rows) if state is None else state
        states = self._graph.evaluate(self.spec.layers, values, start, implementation, ended_states)
        outputs = tuple(values[reference].tensor for reference in self.spec.outputs)
        return outputs, RecurrentState.joined(self.state_layout, states, rows, self.device)

    def withdraw(self, implementation: str, reason: str) -> None:
        """Refuses an implementation from now on, such as one whose numbers were found wrong on this device."""
        self.implementations = MappingProxyType({**self.implementations, implementation: reason})

    @torch.inference_mode()
    def warm_up(self, implementation: str) -> None:
        """Runs two short rows, so that kernels are chosen and memory is allocated before the first request."""
        steps = minimum_time_steps(self.spec) + 1
        fed = fitting(self.spec, required_time_steps(self.spec) or steps)
        inputs = tuple(self._zeros(entry, steps_of(fed, index)) for index, entry in enumerate(self.spec.inputs))
        if not self.causal:
            self.run(inputs, [fed, fed], implementation=implementation)
            return
        made, _ = self.advance(inputs[0], [steps, 1], self.initial_state(2), implementation=implementation)
        self.finish(made, [0, 1])
        if (call := self.chunk_call(implementation)) is not None:
            for rows in call.kinds_of_batches:
                step = np.zeros((rows, 1, *inputs[0].shape[2:]), inputs[0].numpy().dtype)
                call(step, [1] * rows, self.initial_state(rows).data.numpy(), range(rows))

    def _ends(self, index: int, tensor: Tensor, lengths: Sequence[Fed]) -> RowLengths:  # [T, B, …]
        return RowLengths([steps_of(fed, index) for fed in lengths], len(tensor), self.device)

    def _zeros(self, entry: InputSpec, steps: int) -> Tensor:
        if entry.kind == "ids":
            return torch.zeros(steps, 2, *self.shapes[entry.name].features, dtype=torch.int64, device=self.device)
        leading = (2,) if entry.kind == "vector" else (steps, 2)
        return torch.zeros(*leading, *self.shapes[entry.name].features, device=self.device)

    def _require(self, implementation: str) -> None:
        if implementation not in self.implementations:
            raise Unsupported(f"there is no implementation {implementation!r}; there are {', '.join(self.implementations)}")
        if (refusal := self.implementations[implementation]) is not None:
            raise Unsupported(refusal)


def _refusal(spec: ModelSpec, label: str, implementation: Implementation) -> str | None:
    for layer in spec.recurrent_layers:
        if (what := implementation.unsupported(layer)) is not None:
            return f"implementation {label!r} cannot run layer {layer.name!r}: {what}"
    return None


def _use_whole_float32() -> None:
    """Products in ieee float32: a GPU's TensorFloat-32 keeps 10 bits of the mantissa, not the framework's numbers."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
