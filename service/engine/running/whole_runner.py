"""Computes one iteration of a network that is not causal: short sequences, whole, padded side by side, each exact at its length.

Further inputs of the model and initial states are put beside the sequences. A GPU is waited for: whoever takes several passes is
waited for between them anyway. Knows no queue, no clock, no errors: whatever
raises is the lane's to handle.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cellserve.models.description.step_counts import steps_of
from cellserve.models.network import Network
from cellserve.models.state import RecurrentState
from cellserve.service.engine.batch import Batch
from cellserve.service.engine.running.staging import TimeMajorBuffer


class WholeRunner:
    """One network of any kind; keeps no states between iterations."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._staging = [
            TimeMajorBuffer(np.int64 if entry.kind == "ids" else np.float32, network.device) for entry in network.spec.inputs
        ]
        self._mask = TimeMajorBuffer(np.bool_, network.device)
        self._outputs = [network.shapes[reference] for reference in network.spec.outputs]

    @torch.inference_mode()
    def run(self, batch: Batch) -> None:
        """Leaves outputs (and states wanted) with every sequence of the batch."""
        lengths = [sequence.work.fed for sequence in batch.sequences]
        given = any(sequence.work.state is not None for sequence in batch.sequences)
        outputs, state = self._network.run(
            self._staged_inputs(batch),
            lengths,
            self._initial_state(batch) if given else None,
            mask=self._staged_mask(batch),
            implementation=batch.implementation,
            ended_states=batch.ended_states,
        )
        arrays = [output.numpy(force=True) for output in outputs]
        states = state.data.numpy(force=True)
        for row, (sequence, length) in enumerate(zip(batch.sequences, lengths)):
            sequence.outputs = [
                (array[: shape.step_count.steps(length), row] if shape.sequence else array[row]).copy()
                for array, shape in zip(arrays, self._outputs)
            ]
            if sequence.work.want_state:
                sequence.state = states[row].copy()

    def _staged_inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        staged = []
        for index, (entry, staging) in enumerate(zip(self._network.spec.inputs, self._staging)):
            rows = [sequence.work.inputs[index] for sequence in batch.sequences]
            if entry.kind == "vector":
                staged.append(torch.from_numpy(np.stack(rows)).to(self._network.device))
            else:
                staged.append(staging.stage(rows, max(len(row) for row in rows)))
        return tuple(staged)

    def _staged_mask(self, batch: Batch) -> Tensor | None:
        if not batch.masked:
            return None
        lengths = [steps_of(sequence.work.fed, 0) for sequence in batch.sequences]
        masks = [sequence.work.mask for sequence in batch.sequences]
        rows = [np.ones(length, np.bool_) if mask is None else mask for mask, length in zip(masks, lengths)]
        return self._mask.stage(rows, max(lengths))

    def _initial_state(self, batch: Batch) -> RecurrentState:
        state = self._network.initial_state(batch.rows)
        for row, sequence in enumerate(batch.sequences):
            if sequence.work.state is not None:
                state.data[row] = torch.from_numpy(sequence.work.state.copy()).to(self._network.device)
        return state
