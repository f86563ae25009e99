"""One call of a network, prepared to be repeated under any implementation: its golden input, tiled to a shape.

Knows no clock: whoever measures calls it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellserve.models.description.shapes import fitting
from cellserve.models.description.step_counts import steps_of
from cellserve.models.devices import wait_for_launched
from cellserve.models.measuring.golden_pair import Array, golden_inputs
from cellserve.models.network import Network

if TYPE_CHECKING:
    from torch import Tensor

    from cellserve.models.state import RecurrentState


class BenchmarkCall:
    """`lengths`: time steps of each row; the batch has as many as the longest. Causal networks advance by it, others run it.

    As for most requests, all rows end with it: their outputs are made, their states are not asked for.
    """

    def __init__(self, network: Network, lengths: Sequence[int]) -> None:
        self._network = network
        self._lengths = tuple(lengths)
        self._fed = [fitting(network.spec, length) for length in lengths]
        self._rows = range(len(self._lengths))
        arrays, _ = golden_inputs(network.spec)
        self._arrays = tuple(
            self._tiled(array, None if entry.kind == "vector" else max(steps_of(fed, index) for fed in self._fed))
            for index, (array, entry) in enumerate(zip(arrays, network.spec.inputs))
        )
        self._made: tuple[tuple[Tensor, ...], RecurrentState] | None = None
        self._blank = np.zeros((len(self._lengths), network.state_layout.width), np.float32)

    @property
    def timesteps(self) -> int:
        """Real ones, over all rows."""
        return sum(self._lengths)

    def __call__(self, implementation: str) -> None:
        call = self._network.chunk_call(implementation)
        if call is not None and self._network.causal:
            call(self._arrays[0], self._lengths, self._blank, self._rows)
        elif self._network.causal:
            inputs, state = self._operands()
            advance, _ = self._network.advance(inputs[0], self._lengths, state, implementation=implementation, ended_states=False)
            self._network.finish(advance, self._rows)
        else:
            self._network.run(self._operands()[0], self._fed, implementation=implementation, ended_states=False)
        wait_for_launched(self._network.device)

    def lay_out(self, implementation: str) -> None:
        """Its inputs as this implementation takes them, which the first call does otherwise."""
        if self._network.chunk_call(implementation) is None or not self._network.causal:
            self._operands()

    def settle(self, implementation: str) -> None:
        """Calls it until further calls take the time that they will take from then on: where chunks are recorded, as recorded."""
        self.lay_out(implementation)
        for _ in range(self._network.settling_calls):
            self(implementation)

    def _operands(self) -> tuple[tuple[Tensor, ...], RecurrentState]:
        """What `Network.run` takes, on the device: sequences time-major, and the state before the first step."""
        if self._made is None:
            from torch import from_numpy

            kinds = [entry.kind for entry in self._network.spec.inputs]
            arrays = (array if kind == "vector" else array.swapaxes(0, 1).copy() for array, kind in zip(self._arrays, kinds))
            tensors = tuple(from_numpy(array).to(self._network.device) for array in arrays)
            self._made = tensors, self._network.initial_state(len(self._lengths))
        return self._made

    def _tiled(self, array: Array, longest: int | None) -> Array:  # [B, T, F], ids [B, T] or vectors [B, width]
        """[B, longest, …], contiguous; of vectors, whose `longest` is None, [B, width]."""
        rows = np.arange(len(self._lengths)) % len(array)
        if longest is None:
            return np.ascontiguousarray(array[rows])
        steps = np.arange(longest) % array.shape[1]
        return np.ascontiguousarray(array[rows][:, steps])
