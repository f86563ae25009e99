"""Computes one iteration of a causal network layer by layer: rows padded side by side, advanced together, states scattered again.

For every implementation, mask and device. Outputs are copied, chunk by chunk, into arrays that belong to each sequence. Knows no
queue, no clock, no errors: whatever raises is the lane's to handle.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cellserve.models.chunk_body import Advance
from cellserve.models.devices import wait_for_launched
from cellserve.models.network import Network
from cellserve.models.state import RecurrentState
from cellserve.service.engine.batch import Batch
from cellserve.service.engine.sequence import Sequence
from cellserve.service.engine.staging import TimeMajorBuffer
from cellserve.service.engine.state_pool import RowHandle, StatePool


class PaddedRunner:
    """One causal network over one state pool."""

    def __init__(self, network: Network, pool: StatePool) -> None:
        self._network = network
        self._pool = pool
        self._blank = network.initial_state(1).data
        ids = network.spec.inputs[0].kind == "ids"
        self._inputs = TimeMajorBuffer(np.int64 if ids else np.float32, network.device)
        self._mask = TimeMajorBuffer(np.bool_, network.device)
        self._per_step = [network.shapes[reference].sequence for reference in network.spec.outputs]

    @torch.inference_mode()
    def run(self, batch: Batch) -> None:
        """Advances every sequence of the batch; newcomers get a row, those that end keep their outputs (and state, if wanted)."""
        steps = batch.steps
        self._enter([sequence for sequence in batch.sequences if sequence.row is None])
        handles = [sequence.row for sequence in batch.sequences if sequence.row is not None]
        state = RecurrentState(self._network.state_layout, self._pool.take(handles))
        windows = [slice(s.position, s.position + length) for s, length in zip(batch.sequences, batch.lengths)]
        inputs = self._inputs.stage([s.work.inputs[0][window] for s, window in zip(batch.sequences, windows)], steps)
        advance, state = self._network.advance(
            inputs,
            batch.lengths,
            state,
            mask=self._staged_mask(batch, windows, steps),
            implementation=batch.implementation,
            ended_states=batch.ended_states,
        )
        ending = batch.ending
        self._collect(batch, windows, advance, ending)
        self._keep(batch, handles, state, ending)
        wait_for_launched(self._network.device)  # or the iteration would seem to take only its launch

    def _enter(self, newcomers: list[Sequence]) -> None:
        """Gives each a row that holds its initial state."""
        if not newcomers:
            return
        first = self._blank.expand(len(newcomers), -1)
        if any(sequence.work.state is not None for sequence in newcomers):
            first = first.clone()
            for row, sequence in enumerate(newcomers):
                if sequence.work.state is not None:
                    first[row] = torch.from_numpy(sequence.work.state.copy()).to(first.device)
        for sequence in newcomers:
            sequence.row = self._pool.acquire()
        self._pool.put([sequence.row for sequence in newcomers if sequence.row is not None], first)

    def _staged_mask(self, batch: Batch, windows: list[slice], steps: int) -> Tensor | None:
        if not batch.masked:
            return None
        rows = [
            np.ones(length, np.bool_) if sequence.work.mask is None else sequence.work.mask[window]
            for sequence, window, length in zip(batch.sequences, windows, batch.lengths)
        ]
        return self._mask.stage(rows, steps)

    def _collect(self, batch: Batch, windows: list[slice], advance: Advance, ending: list[int]) -> None:
        rows = list(range(batch.rows)) if any(self._per_step) else ending
        if not rows:
            return
        outputs = [tensor.numpy(force=True) for tensor in self._network.finish(advance, rows)]
        ends = set(ending)
        for column, row in enumerate(rows):
            sequence = batch.sequences[row]
            if not sequence.outputs:
                sequence.outputs = [
                    np.empty((sequence.steps, *output.shape[2:]) if per_step else output.shape[1:], output.dtype)
                    for output, per_step in zip(outputs, self._per_step)
                ]
            for result, output, per_step in zip(sequence.outputs, outputs, self._per_step):
                if per_step:
                    result[windows[row]] = output[: batch.lengths[row], column]
                elif row in ends:
                    result[...] = output[column]

    def _keep(self, batch: Batch, handles: list[RowHandle], state: RecurrentState, ending: list[int]) -> None:
        """Survivors' states go back to the pool; those that end leave theirs, if wanted, as an array."""
        if not ending:
            self._pool.put(handles, state.data)
            return
        wanted = [i for i in ending if batch.sequences[i].work.want_state]
        if wanted:
            for i, row in zip(wanted, state.take(wanted).data.numpy(force=True)):
                batch.sequences[i].state = row
        ends = set(ending)
        survivors = [i for i in range(batch.rows) if i not in ends]
        if survivors:
            self._pool.put([handles[i] for i in survivors], state.take(survivors).data)
