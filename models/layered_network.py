"""A network layer by layer, over tensors on a device: every implementation, mask and kind of network goes this way.

What goes in one call over host memory is another way (chunk_call.py); whoever takes no other needs no torch. Knows no
implementation's reasons, and not what is offered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from cellserve.models.chunk_body import Advance, ChunkBody
from cellserve.models.description.causal_plan import CausalPlan
from cellserve.models.description.state_layout import StateLayout
from cellserve.models.description.step_counts import Fed, steps_of
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.devices import Device
from cellserve.models.graph import Graph
from cellserve.models.implementations.packed import recurrence
from cellserve.models.implementations.packed.layer import PackedLayer
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


class LayeredNetwork:
    """`passes` and recorder: as in Network. labels: the implementations that can run it.

    packed: its recurrent layers in the compiled kernel, by name, where they are packed already.
    """

    def __init__(
        self,
        spec: ModelSpec,
        plan: CausalPlan,
        shapes: Mapping[str, TensorShape],
        weights: Weights,
        device: Device,
        recorder: Recorder | None,
        labels: Iterable[str],
        packed: Mapping[str, PackedLayer],
    ) -> None:
        self._spec, self._shapes, self._plan = spec, shapes, plan
        self._device = torch.device(device)
        if self._device.type == "cuda":
            _use_whole_float32()
            recorder = recorder or CudaRecorder(self._device)
        self._layout = StateLayout.of(spec)
        self._graph = Graph.prepare(spec, weights, self._device)
        for layer in spec.recurrent_layers:
            if layer.name in packed:
                self._graph.kernels["packed", layer.name] = recurrence.kernel_of(layer, packed[layer.name])
        self._body = ChunkBody(self._graph, plan, spec.inputs[0].name, self._layout)
        self._recordings = None if recorder is None else Recordings(recorder, self._body, labels)
        self.passes: PassNetwork | None = None
        if not plan.causal:
            self.passes = PassNetwork(spec, shapes, self._graph, self._layout, self._device)

    @property
    def settling_calls(self) -> int:
        return 0 if self._recordings is None else RECORDED_AT

    def initial_state(self, rows: int) -> RecurrentState:
        return RecurrentState.zeros(self._layout, rows, self._device)

    @torch.inference_mode()
    def advance(
        self,
        inputs: Tensor,  # [T, B, F] float32, or ids [T, B] int64
        lengths: Sequence[int],  # [B], each 1 … T
        state: RecurrentState,
        mask: Tensor | None,  # [T, B] bool, True = valid
        implementation: str,
        ended_states: bool,
    ) -> tuple[Advance, RecurrentState]:
        """As `Network.advance`, of a causal network."""
        ends = RowLengths(lengths, len(inputs), self._device)
        if self._recordings is not None and mask is None:
            made = self._recordings.advance(inputs, ends, state, implementation)
            if made is not None:
                return made
        return self._body(inputs, ends, state, mask, implementation, ended_states)

    @torch.inference_mode()
    def finish(self, advance: Advance, rows: Sequence[int], implementation: str) -> tuple[Tensor, ...]:
        """As `Network.finish`."""
        index = indices(rows, self._device)
        values = {reference: Value(vector.index_select(0, index)) for reference, vector in advance.vectors.items()}
        self._graph.evaluate(self._plan.head, values, self.initial_state(0), implementation)
        return tuple(
            advance.sequences[reference].index_select(1, index) if reference in advance.sequences else values[reference].tensor
            for reference in self._spec.outputs
        )

    @torch.inference_mode()
    def run(
        self,
        inputs: tuple[Tensor, ...],  # as the spec lists them: [T, B, F], ids [T, B], or vectors [B, width]
        lengths: Sequence[Fed],  # [B], each 1 … T, of all inputs or each
        state: RecurrentState | None,
        mask: Tensor | None,  # [T, B] bool, True = valid: the mask of the first input
        implementation: str,
        ended_states: bool,
    ) -> tuple[tuple[Tensor, ...], RecurrentState]:
        """As `Network.run`."""
        rows = len(lengths)
        values = {
            entry.name: Value(tensor)
            if entry.kind == "vector"
            else Value(tensor, self._ends(index, tensor, lengths), mask if index == 0 else None)
            for index, (entry, tensor) in enumerate(zip(self._spec.inputs, inputs, strict=True))
        }
        start = self.initial_state(rows) if state is None else state
        states = self._graph.evaluate(self._spec.layers, values, start, implementation, ended_states)
        outputs = tuple(values[reference].tensor for reference in self._spec.outputs)
        return outputs, RecurrentState.joined(self._layout, states, rows, self._device)

    def zeros(self, entry: InputSpec, steps: int) -> Tensor:
        """An input of two rows."""
        if entry.kind == "ids":
            return torch.zeros(steps, 2, *self._shapes[entry.name].features, dtype=torch.int64, device=self._device)
        leading = (2,) if entry.kind == "vector" else (steps, 2)
        return torch.zeros(*leading, *self._shapes[entry.name].features, device=self._device)

    def _ends(self, index: int, tensor: Tensor, lengths: Sequence[Fed]) -> RowLengths:  # [T, B, …]
        return RowLengths([steps_of(fed, index) for fed in lengths], len(tensor), self._device)


def _use_whole_float32() -> None:
    """Products in ieee float32: a GPU's TensorFloat-32 keeps 10 bits of the mantissa, not the framework's numbers."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
