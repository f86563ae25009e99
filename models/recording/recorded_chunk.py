"""One shape of a network's chunk, recorded: rows side by side for some time steps, over memory of its own.

Whoever has fewer rows, or rows that end earlier, uses it as it is: rows keep their state by selection where they have ended, and
the rows that fill it up hold whatever they held before and are given to nobody. Not for two threads at once. Knows no buckets
and no limits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cellserve.models.chunk_body import Advance, Advanced, ChunkBody
from cellserve.models.numerics.device_lengths import DeviceLengths
from cellserve.models.recording.recorder import Recorder
from cellserve.models.state import RecurrentState


class RecordedChunk:
    """`steps` and `rows`: its size. `like`: [T, B, F] or ids [T, B], whose kind and device the inputs have."""

    def __init__(self, recorder: Recorder, body: ChunkBody, implementation: str, steps: int, rows: int, like: Tensor) -> None:
        self.steps = steps
        self._body = body
        self._implementation = implementation
        self._inputs = like.new_zeros(steps, rows, *like.shape[2:])
        self._lengths = like.new_zeros(rows, dtype=torch.int64)
        self._state = RecurrentState.zeros(body.layout, rows, like.device)
        self._repeat = recorder.record(self._run)

    def __call__(self, inputs: Tensor, lengths: Tensor, state: RecurrentState) -> Advanced:  # [T, B, F], [B] int64: 0 … T
        """The same as the body gives for these, in memory of the caller's. Vectors of rows without steps may be anything."""
        steps, rows = inputs.shape[:2]
        self._inputs[:steps, :rows] = inputs
        self._lengths[:rows] = lengths
        self._state.data[:rows] = state.data
        made, after = self._repeat()
        sequences = {reference: tensor[:steps, :rows].clone() for reference, tensor in made.sequences.items()}
        vectors = {reference: tensor[:rows].clone() for reference, tensor in made.vectors.items()}
        return Advance(sequences, vectors), RecurrentState(after.layout, after.data[:rows].clone())

    def _run(self) -> Advanced:
        lengths = DeviceLengths(self._lengths, self.steps)
        return self._body(self._inputs, lengths, self._state, None, self._implementation, ended_states=True)
