"""A network on a device: its layers with their weights, run over ragged batches exactly, row by row.

A causal network is advanced chunk by chunk and finished where rows end; any network can be run over whole sequences. Every row
answers as if it were alone and whole: neither its batch-mates, nor the cuts into chunks, nor what stands beyond its length
show (but for rounding). It has two ways: a whole chunk in one call over host memory, where an implementation offers that, and
layer by layer. Each is made when it is first asked for, and imports what it needs then: torch for the second. Knows no versions,
no padding policy, no threads; two that ask for a way at once may both make it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np

from cellserve.models.description.causal_plan import causal_plan
from cellserve.models.description.layers.activation import Activation
from cellserve.models.description.shapes import fitting, infer_shapes, minimum_time_steps, required_time_steps
from cellserve.models.description.state_layout import StateLayout
from cellserve.models.description.step_counts import Fed, steps_of
from cellserve.models.devices import Device
from cellserve.models.errors import Unsupported
from cellserve.models.implementations import FLOAT32, IMPLEMENTATIONS, Implementation
from cellserve.models.implementations.masked_steps import masks
from cellserve.models.implementations.onnxruntime.chunk_call import ChunkCall
from cellserve.models.library_loading import load_torch_library
from cellserve.models.spec import ModelSpec
from cellserve.models.undefined import undefined_normalizations
from cellserve.models.weights import Weights

if TYPE_CHECKING:
    from torch import Tensor

    from cellserve.models.chunk_body import Advance
    from cellserve.models.implementations.packed.layer import PackedLayer
    from cellserve.models.layered_network import LayeredNetwork
    from cellserve.models.passes.network import PassNetwork
    from cellserve.models.recording.recorder import Recorder
    from cellserve.models.state import RecurrentState

_PREFERENCE: Final = {
    "cpu": ("packed", "onnxruntime", "fused", "2", "0", "1"),
    "cuda": ("fused", "2", "0", "1", "packed", "onnxruntime"),
}
_IN_ONE_CALL: Final = ("packed", "onnxruntime", "packed-bfloat16")  # what may offer that, on a processor


class Network:
    """`implementations`: every label, with None where it can run this network, else the sentence why not; as it is by now.

    `passes`: in which a network that is not causal is advanced chunk by chunk; None for a causal one. recorder: what records
    chunks that come again, so that they run in one launch; None: the device's own, if it has one.
    Raises InvalidSpec, InvalidWeights: layers that do not fit together, arrays that do not fit the layers.
    """

    def __init__(self, spec: ModelSpec, weights: Weights, device: str = "cpu", recorder: Recorder | None = None) -> None:
        self.spec = spec
        self.shapes = infer_shapes(spec)
        weights.check(spec)
        _check_activations(spec)
        self.device = Device(device)
        self.state_layout = StateLayout.of(spec)
        undefined = [one.layer for one in undefined_normalizations(spec, weights.arrays)]
        self._refusals = {label: _refusal(spec, self.device, label, one, undefined) for label, one in IMPLEMENTATIONS.items()}
        self.implementations: Mapping[str, str | None] = MappingProxyType(self._refusals)
        self._plan = causal_plan(spec)
        self._weights = weights
        self._recorder = recorder
        self._chunk_calls: dict[str, ChunkCall | None] = {}
        self._packed: dict[str, Mapping[str, PackedLayer]] = {}  # by implementation the recurrent layers, by name
        self._made_layered: LayeredNetwork | None = None
        self.passes: PassNetwork | None = None
        if not self.causal:
            self.passes = self._layered.passes

    @property
    def causal(self) -> bool:
        """One forward pass: it can be advanced chunk by chunk."""
        return self._plan.causal

    @property
    def may_mask(self) -> bool:
        """Whether layers may mask steps of what they are fed, which no way in one call can do."""
        return masks(self.spec)

    @property
    def offered(self) -> list[str]:
        """The labels that can run it in float32; what is fast in most cases, on its kind of device, comes first."""
        return [label for label in _PREFERENCE[self.device.type] if self.implementations[label] is None]

    @property
    def weights_bytes(self) -> int:
        """Of the arrays that it was made of."""
        return sum(array.nbytes for array in self._weights.arrays.values())

    @property
    def in_one_call(self) -> list[str]:
        """Those of the offered that advance a chunk in one call over host memory. Makes the calls."""
        if self.device.type != "cpu" or not self.causal:
            return []
        return [label for label in self.offered if self.chunk_call(label) is not None]

    @property
    def default_implementation(self) -> str:
        """The first of the offered; "2", which runs every layer, were nothing left."""
        return next(iter(self.offered), "2")

    @property
    def settling_calls(self) -> int:
        """How many calls of a shape it takes until such calls run as they will from then on: none where nothing is recorded."""
        records = self.device.type != "cpu" or self._recorder is not None
        return self._layered.settling_calls if records else 0

    def initial_state(self, rows: int) -> RecurrentState:
        return self._layered.initial_state(rows)

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
        return self._layered.advance(inputs, lengths, state, mask, implementation, ended_states)

    def chunk_call(self, implementation: str) -> ChunkCall | None:
        """What advances and finishes a chunk in one call over host memory, without masks: the numbers of `advance` and `finish`.

        None where this implementation has no such way. Raises Unsupported as `advance` does.
        """
        self._require(implementation)
        if implementation not in _IN_ONE_CALL or self.device.type != "cpu":
            return None
        if implementation not in self._chunk_calls:
            self._chunk_calls[implementation] = self._new_chunk_call(implementation)
        return self._chunk_calls[implementation]

    def finish(self, advance: Advance, rows: Sequence[int]) -> tuple[Tensor, ...]:
        """Every model output for these rows of the chunk: its sequences [T, rows, …]; vectors [rows, …] at each row's end."""
        return self._layered.finish(advance, rows, self.default_implementation)

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
        return self._layered.run(inputs, lengths, state, mask, implementation, ended_states)

    def withdraw(self, implementation: str, reason: str) -> None:
        """Refuses an implementation from now on, such as one whose numbers were found wrong on this device."""
        self._refusals[implementation] = reason

    def warm_up(self, implementation: str) -> None:
        """Runs two short rows layer by layer, and the call, so that kernels are chosen and memory is there before requests."""
        steps = minimum_time_steps(self.spec) + 1
        fed = fitting(self.spec, required_time_steps(self.spec) or steps)
        inputs = tuple(self._layered.zeros(entry, steps_of(fed, index)) for index, entry in enumerate(self.spec.inputs))
        if not self.causal:
            self.run(inputs, [fed, fed], implementation=implementation)
            return
        made, _ = self.advance(inputs[0], [steps, 1], self.initial_state(2), implementation=implementation)
        self.finish(made, [0, 1])
        self.warm_up_call(implementation)

    def warm_up_call(self, implementation: str) -> None:
        """Of the two ways only the one call, if the implementation has it."""
        if (call := self.chunk_call(implementation)) is None:
            return
        entry = self.spec.inputs[0]
        features, dtype = self.shapes[entry.name].features, np.int64 if entry.kind == "ids" else np.float32
        for rows in call.kinds_of_batches:
            states = np.zeros((rows, self.state_layout.width), np.float32)
            call(np.zeros((rows, 1, *features), dtype), [1] * rows, states, range(rows))

    @property
    def _layered(self) -> LayeredNetwork:
        if self._made_layered is None:
            load_torch_library()
            from cellserve.models.layered_network import LayeredNetwork

            if "packed" in self.offered:
                self.chunk_call("packed")  # which shares its weights
            self._made_layered = LayeredNetwork(
                self.spec,
                self._plan,
                self.shapes,
                self._weights,
                self.device,
                self._recorder,
                [label for label, refusal in self.implementations.items() if refusal is None],
                self._packed.get("packed", {}),
            )
        return self._made_layered

    def _new_chunk_call(self, implementation: str) -> ChunkCall | None:
        arrays = self._weights.arrays
        if implementation == "onnxruntime":
            return ChunkCall.of(self.spec, self._plan, self.shapes, arrays)
        made = ChunkCall.packed(self.spec, self._plan, self.shapes, arrays, IMPLEMENTATIONS[implementation].precision)
        if made is None:
            return None
        call, self._packed[implementation] = made
        return call

    def _require(self, implementation: str) -> None:
        if implementation not in self.implementations:
            raise Unsupported(f"there is no implementation {implementation!r}; there are {', '.join(self.implementations)}")
        if (refusal := self.implementations[implementation]) is not None:
            raise Unsupported(refusal)


def _check_activations(spec: ModelSpec) -> None:
    for layer in spec.layers:
        for _, value in layer:
            if isinstance(value, Activation):
                value.check()


def _refusal(spec: ModelSpec, device: Device, label: str, implementation: Implementation, undefined: Sequence[str]) -> str | None:
    """`undefined`: the layers that answer NaN."""
    if undefined and not implementation.hands_on_nan:
        return f"implementation {label!r} makes numbers of NaN, which layer {undefined[0]!r} answers"
    if implementation.precision != FLOAT32 and device.type != "cpu":
        return f"implementation {label!r} computes on a processor, and this network is on {device}"
    if implementation.precision != FLOAT32 and not spec.recurrent_layers:
        return f"implementation {label!r} has nothing to compute: the network has no recurrent layer"
    for layer in spec.recurrent_layers:
        if (what := implementation.unsupported(layer)) is not None:
            return f"implementation {label!r} cannot run layer {layer.name!r}: {what}"
    return None
