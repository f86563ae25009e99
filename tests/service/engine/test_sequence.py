"""What a Work counts as its time steps."""

from __future__ import annotations

import numpy as np
import pytest

from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.sequence import Sequence, Work

FEATURES, IDS, VECTOR = np.zeros((5, 3), np.float32), np.zeros(7, np.int64), np.zeros(9, np.float32)


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [((FEATURES,), 5), ((IDS,), 7), ((FEATURES, VECTOR), 5), ((VECTOR, IDS), 7), ((VECTOR,), 1)],
)
def test_steps(inputs: tuple[np.ndarray, ...], expected: int) -> None:
    sequence = Sequence(0, Work(VersionKey("m", 1), inputs), "2", 0.0)
    assert (sequence.steps, sequence.remaining) == (expected, expected)
