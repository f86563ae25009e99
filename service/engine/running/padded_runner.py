"""Computes one iteration of a causal network layer by layer: rows padded side by side, advanced together, states scattered again.

For every implementation, mask and device. Where the device works on its own, `run` only launches: states, rows and inputs of
the next iteration are safe all the same, since the device does everything in the order in which it was launched. Knows no queue,
no clock, no errors: whatever raises is the lane's to handle.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cellserve.models.devices import Device
from cellserve.models.network import Network
from cellserve.models.state import RecurrentState
from cellserve.service.engine.batch import Batch
from cellserve.service.engine.running.launch import Launch
from cellserve.service.engine.running.padded_outputs import PaddedOutputs
from cellserve.service.engine.running.staging import TimeMajorBuffer
from cellserve.service.engine.running.transfers import Transfers
from cellserve.service.engine.sequence import Sequence
from cellserve.service.engine.state_pool import RowHandle, StatePool

_HOST = Device("cpu")


class PaddedRunner:
    """One causal network over one state pool. To be made on the thread that runs it: there torch computes on this one alone."""

    def __init__(self, network: Network, pool: StatePool, transfers: Transfers) -> None:
        torch.set_num_threads(1)
        self._network = network
        self._pool = pool
        self._transfers = transfers
        ids = network.spec.inputs[0].kind == "ids"
        self._inputs = TimeMajorBuffer(np.int64 if ids else np.float32, _HOST)
        self._mask = TimeMajorBuffer(np.bool_, _HOST)
        self._blank = network.initial_state(1).data
        self._per_step = [network.shapes[reference].sequence for reference in network.spec.outputs]

    @torch.inference_mode()
    def run(self, batch: Batch) -> Launch | None:
        """Advances every sequence of the batch; newcomers get a row, those that end keep their outputs (and state, if wanted).

        None: it is done. Otherwise it is under way, and what it gives is there when the launch has been collected.
        """
        if not self._transfers.deferred:
            self._advance(batch).hand_over()
            return None
        began = self._transfers.mark()
        outputs = self._advance(batch)
        return Launch(outputs, began, self._transfers.mark())

    def _advance(self, batch: Batch) -> PaddedOutputs:
        steps = batch.steps
        self._enter([sequence for sequence in batch.sequences if sequence.row is None])
        handles = [sequence.row for sequence in batch.sequences if sequence.row is not None]
        state = RecurrentState(self._network.state_layout, self._pool.take(handles))
        windows = [slice(s.position, s.position + length) for s, length in zip(batch.sequences, batch.lengths)]
        inputs = self._inputs.stage([s.work.inputs[0][window] for s, window in zip(batch.sequences, windows)], steps)
        advance, state = self._network.advance(
            self._transfers.upload(inputs),
            batch.lengths,
            state,
            mask=self._staged_mask(batch, windows, steps),
            implementation=batch.implementation,
            ended_states=batch.ended_states,
        )
        ending = batch.ending
        rows = list(range(batch.rows)) if any(self._per_step) else ending
        outputs = [self._transfers.download(tensor) for tensor in self._network.finish(advance, rows)] if rows else []
        wanted = [i for i in ending if batch.sequences[i].work.want_state]
        states = self._transfers.download(state.take(wanted).data) if wanted else None
        self._keep(batch, handles, state, ending)
        return PaddedOutputs(batch, windows, rows, ending, self._per_step, outputs, wanted, states)

    def _enter(self, newcomers: list[Sequence]) -> None:
        """Gives each a row that holds its initial state."""
        if not newcomers:
            return
        first = self._blank.expand(len(newcomers), -1)
        if any(sequence.work.state is not None for sequence in newcomers):
            given = np.zeros(first.shape, np.float32)
            for row, sequence in enumerate(newcomers):
                if sequence.work.state is not None:
                    given[row] = sequence.work.state
            first = self._transfers.upload(torch.from_numpy(given))
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
        return self._transfers.upload(self._mask.stage(rows, steps))

    def _keep(self, batch: Batch, handles: list[RowHandle], state: RecurrentState, ending: list[int]) -> None:
        """The states of those that go on return to the pool."""
        if not ending:
            self._pool.put(handles, state.data)
            return
        ends = set(ending)
        survivors = [i for i in range(batch.rows) if i not in ends]
        if survivors:
            self._pool.put([handles[i] for i in survivors], state.take(survivors).data)
