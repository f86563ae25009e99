"""The framework's own answers from a file (`--expect`): .npz arrays x0, x1 … that it was asked and y0, y1 … that it answered.

Knows no networks: whether they are this model's answers is decided in models/measuring/framework_parity.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.arrays.npz import read_npz
from cellserve.models.measuring.framework_answers import FrameworkAnswers

NAME: Final = re.compile(r"([xy])(\d+)?")
LARGEST_BYTES: Final = 256 << 20  # a few rows show as much as many


def read_expected(path: Path) -> FrameworkAnswers:
    """x, y alone stand for x0, y0. Raises ImportRefused: no such file, other arrays in it, a number left out, far too large."""
    source = str(path)
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ImportRefused(source, f"the expected answers cannot be read: {error.strerror or error}") from error
    if size > LARGEST_BYTES:
        raise ImportRefused(source, f"it is {size:,} bytes large; a few rows are enough, of at most {LARGEST_BYTES:,} bytes")
    numbered: dict[str, dict[int, npt.NDArray[Any]]] = {"x": {}, "y": {}}
    for name, array in read_npz(path).items():
        match = NAME.fullmatch(name)
        if match is None:
            raise ImportRefused(source, f"the array {name!r} is neither an input (x0, x1 …) nor an answer (y0, y1 …)")
        letter, number = match[1], int(match[2] or 0)
        if number in numbered[letter]:
            raise ImportRefused(source, f"it holds {letter}{number} twice")
        if array.dtype.kind not in "fiu" or array.ndim == 0:
            raise ImportRefused(source, f"the array {name!r} is {array.dtype} {list(array.shape)}, not rows of numbers")
        numbered[letter][number] = array
    for letter, what in (("x", "inputs"), ("y", "answers")):
        found = sorted(numbered[letter])
        if not found or found != list(range(len(found))):
            listed = ", ".join(f"{letter}{number}" for number in found) or "none"
            raise ImportRefused(source, f"its {what} must be {letter}0, {letter}1 … without a gap; it holds {listed}")
    inputs, outputs = (tuple(numbered[letter][number] for number in sorted(numbered[letter])) for letter in "xy")
    return FrameworkAnswers(path.name, inputs, outputs)
