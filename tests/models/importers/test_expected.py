"""A file of what a framework answered: which arrays it may hold, under which names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.expected import read_expected

X, Y = np.ones((2, 3, 4), dtype=np.float32), np.ones((2, 5), dtype=np.float32)


def written(folder: Path, **arrays: Any) -> Path:
    path = folder / "expect.npz"
    np.savez(path, **arrays)
    return path


def test_inputs_and_answers_in_their_order(tmp_path: Path) -> None:
    found = read_expected(written(tmp_path, y0=Y, x1=X + 1, x0=X))
    assert found.by == "expect.npz"
    assert [array.mean() for array in found.inputs] == [1, 2]
    assert len(found.outputs) == 1
    alone = read_expected(written(tmp_path, x=X, y=Y, y1=Y))
    assert (len(alone.inputs), len(alone.outputs)) == (1, 2)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x0": X}, r"its answers must be y0, y1 … without a gap; it holds none"),
        ({"y0": Y}, r"its inputs must be x0"),
        ({"x0": X, "x2": X, "y0": Y}, r"its inputs must be x0, x1 … without a gap; it holds x0, x2"),
        ({"x1": X, "y0": Y}, "it holds x1"),
        ({"x": X, "x0": X, "y0": Y}, "it holds x0 twice"),
        ({"x0": X, "y0": Y, "state": Y}, "the array 'state' is neither an input"),
        ({"x0": X, "y0": np.float32(1)}, r"the array 'y0' is float32 \[\]"),
        ({"x0": X > 0, "y0": Y}, "the array 'x0' is bool"),
        ({"x0": np.array([{}]), "y0": Y}, "Python objects are never read"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, arrays: dict[str, Any], said: str) -> None:
    with pytest.raises(ImportRefused, match=said):
        read_expected(written(tmp_path, **arrays))


def test_no_file_and_no_npz(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match=r"cannot be read: No such file"):
        read_expected(tmp_path / "expect.npz")
    (tmp_path / "expect.npz").write_text("hello")
    with pytest.raises(ImportRefused, match=r"damaged or cut short"):
        read_expected(tmp_path / "expect.npz")
