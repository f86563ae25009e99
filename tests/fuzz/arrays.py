"""Small arrays that a model takes, drawn: the start of every structured case. Knows no message."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tests.fuzz.targets import Target

MOST_ROWS, MOST_STEPS = 3, 6


@dataclass(slots=True)
class Batch:
    """values: [rows, steps, width] float32, or ids [rows, steps] int64. states: [rows, width] by "0.h"."""

    values: np.ndarray
    lengths: np.ndarray | None
    mask: np.ndarray | None
    states: dict[str, np.ndarray]


@st.composite
def batches(draw: st.DrawFn, target: Target, most_rows: int = MOST_ROWS) -> Batch:
    rows, steps = draw(st.integers(1, most_rows)), draw(st.integers(1, MOST_STEPS))
    numbers = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if target.width is None:
        values = numbers.integers(0, target.vocabulary or 1, (rows, steps))
    else:
        values = numbers.normal(0.0, draw(st.sampled_from((0.0, 1.0, 1e30))), (rows, steps, target.width)).astype(np.float32)
    given = draw(st.sampled_from(("neither", "lengths", "mask")))
    states = draw(st.lists(st.sampled_from(sorted(target.states)), unique=True, max_size=2)) if target.states else []
    return Batch(
        values,
        numbers.integers(1, steps + 1, rows) if given == "lengths" else None,
        numbers.integers(0, 2, (rows, steps)).astype(bool) if given == "mask" else None,
        {key: numbers.normal(size=(rows, target.states[key])).astype(np.float32) for key in states},
    )
