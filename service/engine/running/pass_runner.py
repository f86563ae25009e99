"""Computes one iteration of a network that takes several passes: the next chunk of one pass, for sequences that are all in it;
or all passes at once, for those that are short.

States come from the pool and go back to it; what passes leave for each other is stored with each sequence, in host memory. For
that, and on a GPU too, each iteration is waited for before the next one is decided: a pass reads what the one before left. Knows
no queue, no clock, no errors: whatever raises is the lane's to handle.
"""

from __future__ import annotations

from collections.abc import Sequence as Rows

import torch
from torch import Tensor

from cellserve.models.devices import wait_for_launched
from cellserve.models.network import Network
from cellserve.models.passes.chunk import Key, gather, scatter
from cellserve.models.passes.memory import Array
from cellserve.models.passes.network import PassNetwork
from cellserve.models.state import RecurrentState
from cellserve.service.engine.batch import Batch
from cellserve.service.engine.running.staging import TimeMajorBuffer
from cellserve.service.engine.running.whole_runner import WholeRunner
from cellserve.service.engine.sequence import Sequence
from cellserve.service.engine.state_pool import StatePool


class PassRunner:
    """One network over one state pool. `passes`: those of the network."""

    def __init__(self, network: Network, passes: PassNetwork, pool: StatePool) -> None:
        self._layout = network.state_layout
        self._device = network.device
        self._begun = False
        self._passes = passes
        self._pool = pool
        self._whole = WholeRunner(network)
        self._staging: dict[Key, TimeMajorBuffer] = {}

    def run(self, batch: Batch) -> None:
        """Advances every sequence of the batch; newcomers get a row, those that end keep their outputs (and state, if wanted)."""
        if not self._begun:
            torch.set_num_threads(1)  # of this thread
            self._begun = True
        if batch.whole:
            self._whole.run(batch)
            return
        for sequence in batch.sequences:
            if sequence.memory is None:
                self._enter(sequence)
        totals = [dict(sequence.memory.totals) for sequence in batch.sequences if sequence.memory is not None]
        try:
            self._advance(batch)
        except Exception:  # what else is written would be written once more, the same
            for sequence, own in zip(batch.sequences, totals):
                if sequence.memory is not None:
                    sequence.memory.totals = own
            raise

    @torch.inference_mode()
    def _advance(self, batch: Batch) -> None:
        index = batch.pass_index
        handles = [sequence.row for sequence in batch.sequences if sequence.row is not None]
        memories = [sequence.memory for sequence in batch.sequences if sequence.memory is not None]
        starts = [sequence.place for sequence in batch.sequences]
        chunk = gather(self._passes.passes[index], memories, starts, batch.lengths, self._stage, torch.device(self._device))
        state = RecurrentState(self._layout, self._pool.take(handles))
        made, state = self._passes.advance(
            index, chunk, state, implementation=batch.implementation, ended_states=batch.ended_states
        )
        scatter(made, memories, starts, batch.lengths, [sequence.passes[index] for sequence in batch.sequences])
        ending = batch.ending
        vectors = self._passes.finish(index, made, chunk, [memories[i] for i in ending], ending) if ending else {}
        self._pool.put(handles, state.data)
        if ending:
            arrays = {name: vector.numpy(force=True) for name, vector in vectors.items()}
            for place, i in enumerate(ending):
                self._passes.end_pass(index, memories[i], {name: array[place].copy() for name, array in arrays.items()})
            self._leave([batch.sequences[i] for i in ending if batch.sequences[i].left == batch.lengths[i]])
        wait_for_launched(self._device)  # or the iteration would seem to take only its launch

    def _enter(self, sequence: Sequence) -> None:
        """A row that holds its initial state, and a memory that holds its inputs."""
        sequence.row = self._pool.acquire()
        sequence.memory = self._passes.memory(sequence.work.inputs, sequence.work.mask)
        if sequence.work.state is None:
            state = RecurrentState.zeros(self._layout, 1, self._device).data
        else:
            state = torch.from_numpy(sequence.work.state.copy()).to(self._device).unsqueeze(0)
        self._pool.put([sequence.row], state)

    def _leave(self, sequences: Rows[Sequence]) -> None:
        """Those that have ended their last pass: their outputs are what is left in their memories."""
        for sequence in sequences:
            if sequence.memory is not None and sequence.row is not None:
                sequence.outputs = self._passes.outputs(sequence.memory)
                sequence.memory = None
                if sequence.work.want_state:
                    sequence.state = self._pool.take([sequence.row])[0].numpy(force=True)

    def _stage(self, key: Key, rows: Rows[Array], steps: int) -> Tensor:
        buffer = self._staging.get(key)
        if buffer is None:
            buffer = self._staging[key] = TimeMajorBuffer(rows[0].dtype, self._device)
        return buffer.stage(rows, steps)
