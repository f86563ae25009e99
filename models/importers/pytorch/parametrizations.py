"""Arrays that PyTorch computes from others when a module runs, put back into the plain arrays that it computes.

weight_norm, spectral_norm and pruning, as `torch.nn.utils` files them in its older and its newer way; anything else is refused
by name. Source: torch.nn.utils.weight_norm, spectral_norm, prune, parametrizations, parametrize 2.x. Knows no networks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.errors import ImportRefused

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]
NEW_WAY: Final = re.compile(r"(?P<owner>(?:.*\.)?)parametrizations\.(?P<name>\w+)\.(?P<part>.+)")
OLD_WAY: Final = re.compile(r"(?P<owner>(?:.*\.)?)(?P<name>\w+)_(?P<part>g|v|u|orig|mask)")
KINDS: Final[Mapping[frozenset[str], str]] = {
    frozenset({"g", "v"}): "weight_norm",
    frozenset({"original0", "original1"}): "weight_norm",
    frozenset({"orig", "u"}): "spectral_norm",  # of a bias or any vector there is no v
    frozenset({"orig", "u", "v"}): "spectral_norm",
    frozenset({"original", "0._u", "0._v"}): "spectral_norm",
    frozenset({"orig", "mask"}): "pruning",
}


def plain(arrays: Arrays, source: str) -> tuple[dict[str, Array], list[str]]:
    """The arrays with those that are computed in the place of those they come from, and a note.

    Raises ImportRefused naming the array and what it is computed by.
    """
    groups = _groups(arrays, NEW_WAY)
    groups |= {
        name: parts for name, parts in _groups(arrays, OLD_WAY).items() if frozenset(parts) in KINDS and name not in arrays
    }
    computed = {name: _array(name, parts, arrays, source) for name, parts in groups.items()}
    belongs = {stored: name for name, parts in groups.items() for stored in parts.values()}
    folded: dict[str, Array] = {}
    for stored, array in arrays.items():
        name = belongs.get(stored, stored)
        folded[name] = computed.get(name, array)
    if not computed:
        return folded, []
    kinds = ", ".join(sorted({KINDS[frozenset(parts)] for parts in groups.values()}))
    return folded, [f"Computed as PyTorch does at each run, from what the file holds for it ({kinds}): {', '.join(computed)}."]


def _groups(arrays: Arrays, way: re.Pattern[str]) -> dict[str, dict[str, str]]:
    """Of each plain array that the names speak of: its parts, and under which name each is stored."""
    found: dict[str, dict[str, str]] = {}
    for stored in arrays:
        if (match := way.fullmatch(stored)) is not None:
            found.setdefault(match["owner"] + match["name"], {})[match["part"]] = stored
    return found


def _array(name: str, parts: Mapping[str, str], arrays: Arrays, source: str) -> Array:
    kind = KINDS.get(frozenset(parts))
    if kind is None:
        owner, _, own = name.rpartition(".")
        raise ImportRefused(
            source,
            f"its {own} is computed by a parametrization that is not supported (it holds {', '.join(sorted(parts))}): "
            "weight_norm, spectral_norm and pruning are. Where the model was made, call "
            f"torch.nn.utils.parametrize.remove_parametrizations(module, {own!r}) and save the state dict again",
            layer=owner or "(top)",
        )
    wide = {part: arrays[stored].astype(np.float64) for part, stored in parts.items()}
    try:
        if kind == "weight_norm":
            return _weight_norm(wide.get("v", wide.get("original1")), wide.get("g", wide.get("original0")))
        if kind == "pruning":
            return _pruned(wide["orig"], wide["mask"])
        return _spectral_norm(wide)
    except ValueError as error:
        owner, _, own = name.rpartition(".")
        raise ImportRefused(source, f"the arrays of its {own} ({kind}) do not fit: {error}", layer=owner or "(top)") from error


def _weight_norm(direction: Array | None, size: Array | None) -> Array:
    """direction v of any rank; size g with v's length in one dimension and 1 in the others, or one number for all of v."""
    if direction is None or size is None:
        raise ValueError("one of the two is missing")
    kept = [axis for axis, length in enumerate(size.shape) if length != 1]
    if size.size != 1 and (size.ndim != direction.ndim or len(kept) != 1 or size.shape[kept[0]] != direction.shape[kept[0]]):
        raise ValueError(f"sizes {list(size.shape)} of directions {list(direction.shape)}")
    axes = tuple(axis for axis in range(direction.ndim) if axis not in kept)
    with np.errstate(divide="ignore", invalid="ignore"):  # directions of length 0 are refused as NaN, by the layer's name
        whole: Array = direction * (size / np.sqrt(np.sum(direction**2, axis=axes, keepdims=True)))
    return whole.reshape(direction.shape).astype(np.float32)


def _pruned(stored: Array, mask: Array) -> Array:
    if stored.shape != mask.shape:
        raise ValueError(f"a mask {list(mask.shape)} for {list(stored.shape)}")
    return (stored * mask).astype(np.float32)


def _spectral_norm(parts: Arrays) -> Array:
    """The array over u W v, as modules in eval mode compute it: with the vectors that training left."""
    stored = parts.get("orig", parts.get("original"))
    left, right = parts.get("u", parts.get("0._u")), parts.get("v", parts.get("0._v"))
    if stored is None or left is None or right is None:
        raise ValueError("one of the three is missing; PyTorch 1.0 or newer keeps all")
    if stored.ndim < 2 or left.shape != stored.shape[:1] or right.size * left.size != stored.size:
        raise ValueError(f"vectors of {left.size} and {right.size} for {list(stored.shape)}")
    matrix = stored.reshape(len(stored), -1)  # as for all modules but transposed convolutions
    with np.errstate(divide="ignore", invalid="ignore"):
        whole: Array = stored / (left @ matrix @ right.reshape(-1))
    return whole.astype(np.float32)
