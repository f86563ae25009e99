"""What paddle.save writes of a layer's state dict, as the arrays that PyTorch would have of the same layers.

Paddle keeps the matrix of a Linear turned, and the projection of an LSTM; it lists every recurrent array twice, as the layer's
and as its cell's; and beside each name it says what it called the parameter, "linear_0.w_0", by which a Linear is told from a
table.
Sources: paddle.nn.layer.rnn, paddle.framework.io 2.0 to 3.3. Knows no networks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.limits import Allowance
from cellserve.models.importers.paddle.arrays_pickle import PLAIN, PickledArray, read_pickle
from cellserve.models.importers.stored_arrays import StoredArrays

Array = npt.NDArray[Any]
CALLED: Final = "StructuredToParameterName@@"
CELL: Final = re.compile(r"(?P<stack>(?:.*\.)?)(?P<layer>\d+)\.cell(?P<side>|_fw|_bw)\.(?P<own>\w+)")
MOMENTS: Final = {"_mean": "running_mean", "_variance": "running_var"}
PROJECTION: Final = "weight_ho"
TURNED: Final = "As Paddle has them turned, the matrices of {} were turned."
TWICE: Final = "The file lists every array of {} twice, as the layer's own and as its cell's: they were read once."


def read_pdparams(path: Path) -> StoredArrays:
    """Raises ImportRefused: damaged, more than arrays, or none of them."""
    source = str(path)
    content = read_pickle(path)
    if not isinstance(content, Mapping):
        raise ImportRefused(source, PLAIN)
    said = content.get(CALLED)
    called = {str(name): str(own) for name, own in said.items()} if isinstance(said, Mapping) else {}
    allowance = Allowance(source)
    arrays: dict[str, Array] = {}
    try:
        for name, value in content.items():
            if (found := _array(value)) is not None:
                arrays[str(name)] = found.array(str(name), allowance)
    except ValueError as error:
        raise ImportRefused(source, f"the pickle is damaged: {error}; copy the file again") from error
    if not arrays:
        raise ImportRefused(source, PLAIN)
    precise = {name: _exact(array) for name, array in arrays.items()}
    once, twice = _once(precise)
    turned, matrices = _turned(once, called)
    notes = [TWICE.format(", ".join(twice))] if twice else []
    notes += [TURNED.format(", ".join(matrices))] if matrices else []
    kinds = frozenset("bfloat16" if array.dtype == np.uint16 else str(array.dtype) for array in arrays.values())
    return StoredArrays(turned, precisions=kinds & {"bfloat16", "float16", "float64", "float32"}, notes=tuple(notes))


def _array(value: object) -> PickledArray | None:
    """Alone, or beside the name of its parameter as releases before 2.1 had it."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        value = value[1]
    return value if isinstance(value, PickledArray) else None


def _exact(array: Array) -> Array:
    """Narrower floats in float32; Paddle keeps bfloat16 as whole numbers of 16 bits, which no parameter is."""
    if array.dtype == np.uint16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _once(arrays: Mapping[str, Array]) -> tuple[dict[str, Array], list[str]]:
    """(without the cells' names of what a layer lists itself, its projections as torch names them; of which layers)."""
    kept: dict[str, Array] = {}
    twice = dict[str, None]()
    for name, array in arrays.items():
        cell = CELL.fullmatch(name)
        if cell is None:
            kept[name] = array
            continue
        ending = f"_l{cell['layer']}{'_reverse' if cell['side'] == '_bw' else ''}"
        listed = cell["stack"] + cell["own"] + ending
        if f"{cell['stack']}weight_ih{ending}" not in arrays:
            kept[name] = array
        elif cell["own"] == PROJECTION:
            kept[f"{cell['stack']}weight_hr{ending}"] = np.ascontiguousarray(array.T)
        elif listed not in arrays or not np.array_equal(arrays[listed], array):
            kept[name] = array
        else:
            twice[cell["stack"].rstrip(".") or "the layer"] = None
    return kept, list(twice)


def _turned(arrays: Mapping[str, Array], called: Mapping[str, str]) -> tuple[dict[str, Array], list[str]]:
    """(as torch has them; the modules whose matrices were turned)."""
    made: dict[str, Array] = {}
    turned = list[str]()
    for name, array in arrays.items():
        owner, _, own = name.rpartition(".")
        if own == "weight" and array.ndim == 2 and _is_linear(name, owner, arrays, called):
            made[name] = np.ascontiguousarray(array.T)
            turned.append(owner or "the layer")
        else:
            made[f"{owner}.{MOMENTS[own]}" if own in MOMENTS and owner else MOMENTS.get(own, name)] = array
    return made, turned


def _is_linear(name: str, owner: str, arrays: Mapping[str, Array], called: Mapping[str, str]) -> bool:
    """By what Paddle called the parameter; where a program named it itself, by a bias, which no table has."""
    if called.get(name, "").startswith(("linear_", "embedding_")):
        return called[name].startswith("linear_")
    return (f"{owner}.bias" if owner else "bias") in arrays
