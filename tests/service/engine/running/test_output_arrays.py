"""Arrays for a whole sequence, whatever part of it the batch had."""

from __future__ import annotations

import numpy as np

from cellserve.service.engine.running.output_arrays import unfilled


def test_sequences_get_all_their_steps_and_vectors_their_shape() -> None:
    batch = [np.zeros((4, 2, 3), np.float32), np.zeros((2, 5), np.float32), np.zeros((4, 2), np.int64)]
    made = unfilled(9, batch, [True, False, True])
    assert [(array.shape, array.dtype) for array in made] == [((9, 3), np.float32), ((5,), np.float32), ((9,), np.int64)]
