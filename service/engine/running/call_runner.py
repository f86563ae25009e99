"""Computes one iteration of a causal network in one call or a few over host memory: steps side by side, states in and out.

Nearly all of it is plain Python on purpose: each operation of NumPy or torch on more than a few numbers hands the interpreter
over, and the event loop takes it. Knows no masks, no queue, no clock, no errors: whatever raises is the lane's to handle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cellserve.models.implementations.onnxruntime.chunk_call import ChunkAnswer
from cellserve.models.network import Network
from cellserve.service.engine.batch import Batch
from cellserve.service.engine.costs.call_costs import CallCosts
from cellserve.service.engine.costs.call_groups import groups_of
from cellserve.service.engine.running.host_copies import bytes_of, copied, side_by_side, write
from cellserve.service.engine.running.measured_call import MeasuredCall, input_dtype
from cellserve.service.engine.running.output_arrays import unfilled
from cellserve.service.engine.sequence import Sequence
from cellserve.service.engine.state_pool import StatePool

Array = npt.NDArray[Any]


class CallRunner:
    """One causal network over one state pool in host memory. calls: what it offers, by implementation."""

    def __init__(self, network: Network, pool: StatePool, calls: Mapping[str, MeasuredCall]) -> None:
        self._calls = calls
        self._pool = pool
        self._row_bytes = 4 * pool.width
        self._blank = memoryview(bytes(self._row_bytes))
        self._dtype = input_dtype(network)
        self._per_step = [network.shapes[reference].sequence for reference in network.spec.outputs]

    def run(self, batch: Batch) -> bool:
        """As ChunkRunner.run. False, and nothing is done: there is no call for its implementation, or it refuses a step."""
        measured = self._calls.get(batch.implementation)
        if measured is None:
            return False
        call = measured.call
        parts = [(part, _next_steps(part)) for part in _parts(batch, measured.costs)]
        if call.masks and any(call.refuses(row) for _, rows in parts for row in rows):
            return False
        for part, rows in parts:
            ending = part.ending
            answer = call(side_by_side(rows, self._dtype), part.lengths, self._states(part), ending)
            self._collect(part, answer, ending)
            self._keep(part, answer.state, ending)
        return True

    def _states(self, batch: Batch) -> npt.NDArray[np.float32]:
        """[B, width]. Newcomers have none in the pool yet."""
        joined = bytearray().join([self._state(sequence) for sequence in batch.sequences])
        return np.ndarray((batch.rows, self._pool.width), np.float32, joined)

    def _state(self, sequence: Sequence) -> memoryview:
        """Its bytes."""
        if sequence.row is not None:
            return self._pool.memory_of(sequence.row)
        state = sequence.work.state
        return self._blank if state is None else np.ascontiguousarray(state, np.float32).data

    def _collect(self, batch: Batch, answer: ChunkAnswer, ending: list[int]) -> None:
        if any(self._per_step):
            self._collect_steps(batch, answer)
        for place, row in enumerate(ending):
            sequence = batch.sequences[row]
            if not sequence.outputs:
                sequence.outputs = [copied(output[place]) for output in answer.outputs]
                continue
            for index, (output, per_step) in enumerate(zip(answer.outputs, self._per_step)):
                if not per_step:
                    sequence.outputs[index] = copied(output[place])

    def _collect_steps(self, batch: Batch, answer: ChunkAnswer) -> None:
        """Into the sequence outputs of every row; its vectors, if any, are yet to come."""
        for row, (sequence, length) in enumerate(zip(batch.sequences, batch.lengths)):
            if not sequence.outputs:
                sequence.outputs = unfilled(sequence.steps, answer.outputs, self._per_step)
            for result, output, per_step in zip(sequence.outputs, answer.outputs, self._per_step):
                if per_step:
                    write(result[sequence.position : sequence.position + length], output[row, :length])

    def _keep(self, batch: Batch, states: npt.NDArray[np.float32], ending: list[int]) -> None:
        """Survivors' states go to the pool, where newcomers get a row; those that end leave theirs, if wanted, as an array."""
        ends, size, made = set(ending), self._row_bytes, bytes_of(states)
        for row, sequence in enumerate(batch.sequences):
            if row not in ends:
                if sequence.row is None:
                    sequence.row = self._pool.acquire()
                self._pool.memory_of(sequence.row)[:] = made[row * size : (row + 1) * size]
            elif sequence.work.want_state:
                sequence.state = copied(states[row])


def _next_steps(batch: Batch) -> list[Array]:
    """[T, F], or ids [T], of every row."""
    return [s.work.inputs[0][s.position : s.position + length] for s, length in zip(batch.sequences, batch.lengths)]


def _parts(batch: Batch, costs: CallCosts) -> list[Batch]:
    """The batch itself, or several, where a kernel that computes every row up to the longest would take longer over one."""
    if not batch.ragged or len(groups := groups_of(batch.lengths, costs)) == 1:
        return [batch]
    return [
        Batch(
            batch.implementation,
            tuple(batch.sequences[place] for place in group),
            tuple(batch.lengths[place] for place in group),
        )
        for group in groups
    ]
