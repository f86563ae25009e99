"""Computes one iteration of a step model: rows' next frames, or whole feeds, through calls of its graph; states in and out.

Knows no queue and no clock, and no torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cellserve.models.steps.network import StepNetwork
from cellserve.service.engine.batch import Batch
from cellserve.service.engine.sequence import Sequence
from cellserve.service.engine.state_pool import StatePool

Array = npt.NDArray[Any]


class StepRunner:
    """One step model over one state pool in host memory."""

    def __init__(self, network: StepNetwork, pool: StatePool) -> None:
        self._network = network
        self._pool = pool
        self._vectors = [entry.kind == "vector" for entry in network.spec.inputs]
        self._whole = network.spec.whole_feeds

    def run(self, batch: Batch) -> None:
        """Advances every sequence of the batch; those that end keep their outputs (and state, if wanted).

        Raises whatever onnxruntime raises, and has changed nothing then.
        """
        rows = [self._next(sequence, length) for sequence, length in zip(batch.sequences, batch.lengths)]
        states = np.stack([self._state(sequence) for sequence in batch.sequences])
        answers, after = self._network.advance(rows, states)
        for sequence, length, outputs, state in zip(batch.sequences, batch.lengths, answers, after):
            self._keep(sequence, length, outputs, state)

    def _next(self, sequence: Sequence, length: int) -> list[Array]:
        start = sequence.position
        return [array if vector else array[start : start + length] for array, vector in zip(sequence.work.inputs, self._vectors)]

    def _state(self, sequence: Sequence) -> npt.NDArray[np.float32]:
        """[width]."""
        if sequence.row is not None:
            return np.frombuffer(self._pool.memory_of(sequence.row), np.float32)
        if sequence.work.state is not None:
            return sequence.work.state
        first: npt.NDArray[np.float32] = self._network.state_layout.first_rows(1)[0]
        return first

    def _keep(self, sequence: Sequence, length: int, outputs: list[Array], state: npt.NDArray[np.float32]) -> None:
        """outputs: of these steps, [length, …], or of the whole feed. state: [width]."""
        ends = self._whole or sequence.remaining == length
        if self._whole or (ends and sequence.position == 0):
            sequence.outputs = [output.copy() for output in outputs]
        else:
            sequence.outputs = sequence.outputs or [
                np.empty((sequence.steps, *output.shape[1:]), output.dtype) for output in outputs
            ]
            for whole, part in zip(sequence.outputs, outputs):
                whole[sequence.position : sequence.position + length] = part
        if not ends:
            if sequence.row is None:
                sequence.row = self._pool.acquire()
            self._pool.memory_of(sequence.row)[:] = state.data.cast("B")
        elif sequence.work.want_state:
            sequence.state = state.copy()
