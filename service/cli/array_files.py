"""Sequences from files and answers into files: .npy, .npz, .csv and .json. Nothing is unpickled. Knows no server."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellserve.service.errors import InvalidInput

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Sequences:
    """What a file holds, as the client takes it: one sequence, a batch, or a list. `names`: of the members of a list."""

    value: Array | list[Array]
    names: tuple[str, ...] = ()


def read_sequences(path: Path, *, ids: bool = False) -> Sequences:
    """The sequences of a file. ids: its numbers are integer ids, not features.

    .npy: [T, F] one sequence, [B, T, F] a batch; with ids [T] and [B, T]. .npz: one sequence a member, of any lengths.
    .csv: one sequence, a time step a line, with or without a line of headings; with ids every number is one step.
    .json: the same nesting in lists; sequences of a list may have different lengths. Raises InvalidInput, OSError.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise InvalidInput(f"{path}: cannot be read by its suffix; use one of {', '.join(_READERS)}", field="input")
    try:
        return read(path, ids)
    except (ValueError, KeyError, EOFError) as error:
        raise InvalidInput(
            f"{path}: not a readable {path.suffix.lower()} file of numbers ({_first_line(error)})", field="input"
        ) from error


def write_answers(path: Path, answer: Array | list[Array], names: tuple[str, ...]) -> None:
    """.npy (one array), .npz (the input's names, else row_0 …; `outputs` for one array) or .json.

    Raises InvalidInput, OSError.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        path.write_text(json.dumps(as_lists(answer)) + "\n")
    elif suffix == ".npz" and isinstance(answer, list):
        np.savez(path, **dict(zip(names or [f"row_{i}" for i in range(len(answer))], answer, strict=True)))  # type: ignore[arg-type]
    elif suffix == ".npz":
        np.savez(path, outputs=answer)
    elif suffix == ".npy":
        np.save(path, _one_array(path, answer), allow_pickle=False)


def check_output(path: Path) -> None:
    """Raises InvalidInput for a suffix that cannot be written; asked before the work, not after."""
    if path.suffix.lower() not in (".npy", ".npz", ".json"):
        raise InvalidInput(f"{path}: cannot be written by its suffix; use .npy, .npz or .json", field="output")


def as_lists(answer: Array | list[Array]) -> list[Any]:
    return [row.tolist() for row in answer] if isinstance(answer, list) else answer.tolist()


def _one_array(path: Path, answer: Array | list[Array]) -> Array:
    if not isinstance(answer, list):
        return answer
    if len({row.shape for row in answer}) != 1:
        raise InvalidInput(f"{path}: answers of different lengths do not fit one array; use .npz or .json", field="output")
    return np.stack(answer)


def _npy(path: Path, ids: bool) -> Sequences:
    return Sequences(_typed(np.load(path, allow_pickle=False), ids))


def _npz(path: Path, ids: bool) -> Sequences:
    with np.load(path, allow_pickle=False) as members:
        rows = {name: _typed(members[name], ids) for name in members.files}
    return Sequences(list(rows.values()), tuple(rows))


def _csv(path: Path, ids: bool) -> Sequences:
    lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    if lines and not _is_numbers(lines[0]):
        lines = lines[1:]
    if not lines:
        raise ValueError("it has no line of numbers")
    table = np.loadtxt(lines, delimiter=",", ndmin=2)
    return Sequences(_typed(table.reshape(-1) if ids else table, ids))


def _json(path: Path, ids: bool) -> Sequences:
    value = json.loads(path.read_bytes())
    depth = _depth(value)
    if depth == (2 if ids else 3):
        rows = [_typed(np.array(row), ids) for row in value]
        return Sequences(np.stack(rows) if all(a.shape == b.shape for a, b in pairwise(rows)) else rows)
    return Sequences(_typed(np.array(value), ids))


_READERS: dict[str, Callable[[Path, bool], Sequences]] = {".npy": _npy, ".npz": _npz, ".csv": _csv, ".json": _json}


def _typed(array: Array, ids: bool) -> Array:
    if array.dtype.kind not in "iufb":
        raise ValueError(f"it holds {array.dtype}, not numbers")
    if not ids:
        return array.astype(np.float32)
    if array.dtype.kind == "f" and not (array == np.trunc(array)).all():
        raise ValueError("ids are whole numbers")
    return array.astype(np.int64)


def _is_numbers(line: str) -> bool:
    try:
        [float(cell) for cell in line.split(",")]
    except ValueError:
        return False
    return True


def _depth(value: object) -> int:
    return 1 + _depth(value[0]) if isinstance(value, list) and value else 0


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
