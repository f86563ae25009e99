"""TimeMajorBuffer: rows side by side, memory used again, nothing but earlier inputs beyond a row's end."""

from __future__ import annotations

import numpy as np
import torch

from cellserve.service.engine.running.staging import TimeMajorBuffer

CPU = torch.device("cpu")


def test_rows_stand_in_columns() -> None:
    staged = TimeMajorBuffer(np.float32, CPU).stage([np.array([[1.0], [2.0]]), np.array([[3.0]])], 2)
    assert staged.shape == (2, 2, 1)
    assert staged[:, :, 0].tolist() == [[1, 3], [2, 0]]
    assert staged.dtype == torch.float32


def test_ids_and_masks_have_no_features() -> None:
    assert TimeMajorBuffer(np.int64, CPU).stage([np.array([5, 6])], 2).tolist() == [[5], [6]]
    assert TimeMajorBuffer(np.bool_, CPU).stage([np.array([True])], 1).dtype == torch.bool


def test_memory_is_used_again_and_grows() -> None:
    buffer = TimeMajorBuffer(np.int64, CPU)
    first = buffer.stage([np.array([4, 4, 4])], 3)
    second = buffer.stage([np.array([7])], 1)
    assert second.data_ptr() == first.data_ptr()
    padded = buffer.stage([np.array([1, 2, 3, 4]), np.array([5])], 4)
    assert padded[:, 0].tolist() == [1, 2, 3, 4]
    assert set(padded[1:, 1].tolist()) <= {0, 4, 7}
