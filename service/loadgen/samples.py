"""The inputs of a load test and, where known, the answers to expect. Drawn at random or read from a file; knows no client.

A load test asks a limited number of different questions again and again, each in ever changing company: whatever company it
meets in a batch, its answer must stay the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from cellserve.service.loadgen.lengths import Lengths
from cellserve.service.loadgen.outcomes import Verdict

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """x: [T, F] float32, or ids [T]. expected: the model's first output for it. version: that the expectation holds for."""

    x: Array
    expected: Array | None = None
    version: int | None = None

    def judge(self, answer: Array, version: int, tolerance: float) -> Verdict:
        """Right: every number is within tolerance · (1 + |expected|)."""
        if self.expected is None or self.version not in (None, version):
            return Verdict.UNCHECKED
        if answer.shape != self.expected.shape:
            return Verdict.WRONG
        near = np.abs(answer - self.expected) <= tolerance * (1.0 + np.abs(self.expected))
        return Verdict.RIGHT if bool(near.all()) else Verdict.WRONG


def random_features(rng: np.random.Generator, lengths: Lengths, count: int, features: int) -> list[Sample]:
    """Standard normal float32."""
    return [Sample(rng.standard_normal((steps, features), dtype=np.float32)) for steps in lengths.draw(rng, count)]


def random_ids(rng: np.random.Generator, lengths: Lengths, count: int, vocabulary: int) -> list[Sample]:
    """Ids from 0 to vocabulary - 1, for models that begin with an embedding."""
    return [Sample(rng.integers(vocabulary, size=steps, dtype=np.int32)) for steps in lengths.draw(rng, count)]


def from_file(path: Path, limit: int | None = None) -> list[Sample]:
    """Reads a .npz with `inputs` [N, T, F] (or ids [N, T]) and optionally `lengths` [N] and the expected `outputs` [N, …].

    Raises ValueError: not such a file.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            inputs, lengths, outputs = (arrays.get(key) for key in ("inputs", "lengths", "outputs"))
    except (OSError, EOFError, ValueError, TypeError, AttributeError, BadZipFile) as error:
        raise ValueError(f"{path} cannot be read as .npz of plain arrays: {error}") from error
    if inputs is None or inputs.ndim < 2 or not len(inputs):
        raise ValueError(f"{path} has no array `inputs` of [sequences, time, features], or ids [sequences, time]")
    cuts = np.full(len(inputs), inputs.shape[1]) if lengths is None else lengths
    for name, array in (("lengths", cuts), ("outputs", outputs)):
        if array is not None and len(array) != len(inputs):
            raise ValueError(f"{path}: `{name}` has {len(array)} rows for {len(inputs)} inputs")
    if ((cuts < 1) | (cuts > inputs.shape[1])).any():
        raise ValueError(f"{path}: `lengths` must lie between 1 and {inputs.shape[1]}")
    return [Sample(row[:cut], _expected(outputs, i, cut)) for i, (row, cut) in enumerate(zip(inputs[:limit], cuts))]


def _expected(outputs: Array | None, row: int, steps: int) -> Array | None:
    if outputs is None:
        return None
    answer: Array = outputs[row]
    return answer[:steps] if answer.ndim > 1 else answer
