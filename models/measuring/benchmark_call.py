"""One call of a network, prepared to be repeated under any implementation: its golden input, tiled to a shape.

Knows no clock: whoever measures calls it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cellserve.models.description.shapes import fitting
from cellserve.models.description.step_counts import steps_of
from cellserve.models.devices import wait_for_launched
from cellserve.models.measuring.golden_pair import Array, golden_inputs
from cellserve.models.network import Network


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
        self._inputs = tuple(
            self._tiled(array, None if entry.kind == "vector" else max(steps_of(fed, index) for fed in self._fed))
            for index, (array, entry) in enumerate(zip(arrays, network.spec.inputs))
        )
        self._state = network.initial_state(len(self._lengths))
        self._steps = self._inputs[0].numpy(force=True).swapaxes(0, 1).copy() if network.causal else None

    @property
    def timesteps(self) -> int:
        """Real ones, over all rows."""
        return sum(self._lengths)

    def __call__(self, implementation: str) -> None:
        call = self._network.chunk_call(implementation)
        if call is not None and self._steps is not None:
            call(self._steps, self._lengths, self._state.data.numpy(), self._rows)
        elif self._network.causal:
            advance, _ = self._network.advance(
                self._inputs[0], self._lengths, self._state, implementation=implementation, ended_states=False
            )
            self._network.finish(advance, self._rows)
        else:
            self._network.run(self._inputs, self._fed, implementation=implementation, ended_states=False)
        wait_for_launched(self._network.device)

    def settle(self, implementation: str) -> None:
        """Calls it until further calls take the time that they will take from then on: where chunks are recorded, as recorded."""
        for _ in range(self._network.settling_calls):
            self(implementation)

    def _tiled(self, array: Array, longest: int | None) -> Tensor:  # [B, T, F], ids [B, T] or vectors [B, width]
        """Time-major [longest, B, …]; of vectors, whose `longest` is None, [B, width]."""
        rows = np.arange(len(self._lengths)) % len(array)
        if longest is None:
            return torch.from_numpy(array[rows]).to(self._network.device)
        steps = np.arange(longest) % array.shape[1]
        return torch.from_numpy(array[rows][:, steps].swapaxes(0, 1).copy()).to(self._network.device)
