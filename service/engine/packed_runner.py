"""Computes one iteration of a causal network in one run or two over host memory: steps packed, states gathered and scattered.

Nearly all of it is plain Python on purpose: each operation of NumPy or torch on more than a few numbers hands the interpreter
over, and the event loop waits for it. Knows no masks, no queue, no clock, no errors: whatever raises is the lane's to handle.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cellserve.models.network import Network
from cellserve.models.packed_chunk import PackedAnswer, PackedChunk
from cellserve.service.engine.batch import Batch
from cellserve.service.engine.packed_steps import joined
from cellserve.service.engine.row_groups import rows_of_first_call
from cellserve.service.engine.sequence import Sequence
from cellserve.service.engine.state_pool import RowHandle, StatePool

Array = npt.NDArray[Any]


class PackedRunner:
    """One causal network over one state pool in host memory."""

    def __init__(self, network: Network, pool: StatePool) -> None:
        self._pool = pool
        self._dtype = np.dtype(np.int64 if network.spec.inputs[0].kind == "ids" else np.float32)
        self._per_step = [network.shapes[reference].sequence for reference in network.spec.outputs]

    def run(self, batch: Batch, chunk: PackedChunk) -> bool:
        """As ChunkRunner.run, by calls of `chunk`. False, and nothing is done, if it refuses any of the steps."""
        parts = [(part, self._packed(part)) for part in _parts(batch)]
        if any(chunk.refuses(steps) for _, steps in parts):
            return False
        for part, steps in parts:
            ending = part.ending
            answer = chunk(steps, part.lengths, self._states(part), ending)
            self._collect(part, answer, ending)
            self._keep(part, answer.state, ending)
        return True

    def _packed(self, batch: Batch) -> Array:
        """[N, F], or ids [N]: the next steps of every row, one row after the other."""
        rows = [s.work.inputs[0][s.position : s.position + length] for s, length in zip(batch.sequences, batch.lengths)]
        return joined(rows, self._dtype)

    def _states(self, batch: Batch) -> npt.NDArray[np.float32]:
        """[B, width]. Newcomers have none in the pool yet."""
        old = [place for place, sequence in enumerate(batch.sequences) if sequence.row is not None]
        handles = [sequence.row for sequence in batch.sequences if sequence.row is not None]
        if len(handles) == batch.rows:
            return self._pool.take_array(handles)
        states = np.zeros((batch.rows, self._pool.width), np.float32)
        if handles:
            states[old] = self._pool.take_array(handles)
        for place, sequence in enumerate(batch.sequences):
            if sequence.row is None and sequence.work.state is not None:
                states[place] = sequence.work.state
        return states

    def _collect(self, batch: Batch, answer: PackedAnswer, ending: list[int]) -> None:
        if any(self._per_step):
            start = 0
            for sequence, length in zip(batch.sequences, batch.lengths):
                self._append(sequence, [output[start : start + length] for output in answer.outputs])
                start += length
        for place, row in enumerate(ending):
            sequence = batch.sequences[row]
            if not sequence.outputs:
                sequence.outputs = [output[place].copy() for output in answer.outputs]
                continue
            for index, (output, per_step) in enumerate(zip(answer.outputs, self._per_step)):
                if not per_step:
                    sequence.outputs[index] = output[place].copy()

    def _append(self, sequence: Sequence, parts: list[Array]) -> None:
        """parts: [length, …] of each sequence output; of a vector output anything."""
        if not sequence.outputs:
            sequence.outputs = [
                np.empty((sequence.steps, *part.shape[1:]) if per_step else part.shape[1:], part.dtype)
                for part, per_step in zip(parts, self._per_step)
            ]
        for result, part, per_step in zip(sequence.outputs, parts, self._per_step):
            if per_step:
                result[sequence.position : sequence.position + len(part)] = part

    def _keep(self, batch: Batch, states: npt.NDArray[np.float32], ending: list[int]) -> None:
        """Survivors' states go to the pool, where newcomers get a row; those that end leave theirs, if wanted, as an array."""
        for row in ending:
            if batch.sequences[row].work.want_state:
                batch.sequences[row].state = states[row].copy()
        if len(ending) == batch.rows:
            return
        ends = set(ending)
        going_on = [row for row in range(batch.rows) if row not in ends]
        handles: list[RowHandle] = []
        for row in going_on:
            sequence = batch.sequences[row]
            if sequence.row is None:
                sequence.row = self._pool.acquire()
            handles.append(sequence.row)
        self._pool.put_array(handles, states if not ends else states[going_on])


def _parts(batch: Batch) -> list[Batch]:
    """The batch itself, or, where much of it would be padding, two: the kernel computes every row up to the longest."""
    rows = rows_of_first_call(batch.lengths) if batch.ragged else 0
    if rows == 0:
        return [batch]
    return [
        Batch(batch.implementation, batch.sequences[:rows], batch.lengths[:rows]),
        Batch(batch.implementation, batch.sequences[rows:], batch.lengths[rows:]),
    ]
