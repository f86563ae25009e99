"""The recorded chunks of one network: made when a shape comes again, used for every chunk that they fit, and forgotten.

Several threads share a network and hence the memory of its recordings: whoever repeats one holds the lock until everything is
launched. That is enough, because launches of all threads follow each other on the device's one stream. Knows no CUDA.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Iterable
from threading import Lock
from typing import Final, NamedTuple

import torch
from torch import Tensor

from cellserve.models.chunk_body import Advance, Advanced, ChunkBody
from cellserve.models.numerics.row_lengths import RowLengths
from cellserve.models.recording.recorded_chunk import RecordedChunk
from cellserve.models.recording.recorder import Recorder
from cellserve.models.recording.rules import MOST_ROWS, obstacle_to_recording, pieces, row_bucket
from cellserve.models.state import RecurrentState

RECORDED_AT: Final = 3  # calls of a shape: recording takes as long as about three of them, so it is not made for passing ones
MOST_RECORDINGS: Final = 64  # kept: all shapes of up to 64 rows under one implementation, at up to some MB of the device each

log = logging.getLogger(__name__)


class Shape(NamedTuple):
    implementation: str
    steps: int
    rows: int


class Recordings:
    """`labels`: the implementations in question; those that cannot be recorded are left as they are."""

    def __init__(
        self,
        recorder: Recorder,
        body: ChunkBody,
        labels: Iterable[str],
        recorded_at: int = RECORDED_AT,
        most_recordings: int = MOST_RECORDINGS,
    ) -> None:
        self._recorder = recorder
        self._body = body
        self._labels = {label for label in labels if obstacle_to_recording(body.plan, label) is None}
        self._recorded_at = recorded_at
        self._most_recordings = most_recordings
        self._lock = Lock()
        self._seen: Counter[Shape] = Counter()  # of those that are not kept; there are not many shapes
        self._kept: OrderedDict[Shape, RecordedChunk] = OrderedDict()  # used longest ago comes first

    @torch.inference_mode()
    def advance(
        self,
        inputs: Tensor,  # [T, B, F] float32, or ids [T, B] int64
        lengths: RowLengths,
        state: RecurrentState,
        implementation: str,
    ) -> Advanced | None:
        """As the body, without a mask. None: nothing fits yet, or it cannot be recorded, and the body is to be run.

        Long chunks are repeated piece by piece: one recording serves all lengths, and what is recorded stays small.
        """
        steps, rows = inputs.shape[:2]
        if not 0 < rows <= MOST_ROWS or implementation not in self._labels:
            return None
        shapes = [Shape(implementation, piece, row_bucket(rows)) for piece in pieces(steps)]
        with self._lock:
            self._look_at(set(shapes), inputs)
            chunks = [self._kept[shape] for shape in shapes if shape in self._kept]
            return self._repeated(chunks, inputs, lengths.on_device, state) if len(chunks) == len(shapes) else None

    def _look_at(self, shapes: set[Shape], inputs: Tensor) -> None:
        """Counts a use of each, and records those that have come often enough."""
        for shape in shapes:
            if shape in self._kept:
                self._kept.move_to_end(shape)
            else:
                self._seen[shape] += 1
        missing = [shape for shape in shapes if shape not in self._kept]
        if all(self._seen[shape] >= self._recorded_at for shape in missing):
            for shape in missing:
                if shape.implementation in self._labels:
                    self._record(shape, inputs)

    def _record(self, shape: Shape, like: Tensor) -> None:
        """Forgets the one that was used longest ago, if there are too many. What the device cannot record is not tried again."""
        del self._seen[shape]
        while len(self._kept) >= self._most_recordings:
            self._kept.popitem(last=False)
        try:
            self._kept[shape] = RecordedChunk(self._recorder, self._body, *shape, like)
        except RuntimeError:
            self._labels.discard(shape.implementation)
            log.exception("%s could not be recorded; implementation %r runs unrecorded from now on", shape, shape.implementation)

    def _repeated(self, chunks: list[RecordedChunk], inputs: Tensor, lengths: Tensor, state: RecurrentState) -> Advanced:
        start, parts = 0, list[Advance]()
        vectors: dict[str, Tensor] = {}
        for chunk in chunks:
            part = inputs[start : start + chunk.steps]
            left = (lengths - start).clamp(0, len(part))  # [B]
            made, state = chunk(part, left, state)
            vectors = {name: _newer(vector, vectors.get(name), left) for name, vector in made.vectors.items()}
            parts.append(made)
            start += chunk.steps
        if len(parts) == 1:
            return parts[0], state
        sequences = {name: torch.cat([made.sequences[name] for made in parts]) for name in parts[0].sequences}
        return Advance(sequences, vectors), state


def _newer(new: Tensor, old: Tensor | None, left: Tensor) -> Tensor:  # [B, …], [B, …], [B]
    """Rows that had no steps in this piece keep what they had at their own end."""
    if old is None:
        return new
    return torch.where((left > 0).reshape(-1, *[1] * (new.dim() - 1)), new, old)
