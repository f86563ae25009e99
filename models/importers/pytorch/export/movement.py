"""Operations of torch that only move numbers, as nodes of ONNX. Source: native_functions.yaml 2.x."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import torch
from onnx import TensorProto

from cellserve.models.importers.pytorch.export.drawing import LONGEST, Size
from cellserve.models.importers.pytorch.export.site import NotDrawn, Site

Draw = Callable[[Site], list[str]]
TYPES: Final[Mapping[torch.dtype, int]] = {
    torch.int64: TensorProto.INT64,
    torch.int32: TensorProto.INT32,
    torch.bool: TensorProto.BOOL,
}
PADDINGS: Final = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
PADDING_OF: Final = {
    **dict.fromkeys(("reflection_pad1d", "reflection_pad2d"), "reflect"),
    **dict.fromkeys(("replication_pad1d", "replication_pad2d"), "replicate"),
}
"""Of operations that have no mode."""


def _same(site: Site) -> list[str]:
    return [site.tensor("input" if "input" in site.call.given else "self")]


def _cast(site: Site) -> list[str]:
    dtype = site.call.given.get("dtype")
    x = site.tensor("self")
    if not isinstance(dtype, torch.dtype):
        return [x]
    return [site.drawing.one("Cast", [x], to=TYPES.get(dtype, TensorProto.FLOAT))]


def _transpose(site: Site) -> list[str]:
    order = list(range(site.rank("self")))
    one, other = site.axis("dim0"), site.axis("dim1")
    order[one], order[other] = order[other], order[one]
    return [site.drawing.transposed(site.tensor("self"), order)]


def _t(site: Site) -> list[str]:
    return [site.drawing.transposed(site.tensor("self"), range(site.rank("self"))[::-1])]


def _permute(site: Site) -> list[str]:
    rank = site.rank("self")
    return [site.drawing.transposed(site.tensor("self"), [axis % rank for axis in site.wholes("dims")])]


def _movedim(site: Site) -> list[str]:
    rank = site.rank("self")
    moved = [axis % rank for axis in site.wholes("source")]
    left = [axis for axis in range(rank) if axis not in moved]
    for place, axis in sorted(zip((one % rank for one in site.wholes("destination")), moved)):
        left.insert(place, axis)
    return [site.drawing.transposed(site.tensor("self"), left)]


def _view(site: Site) -> list[str]:
    """torch.export writes the number of steps of its example wherever a program asks for it: that one is left to the others."""
    sizes = site.sizes("shape" if "shape" in site.call.given else "size")
    if -1 not in sizes:
        place = next((sizes.index(size) for size in site.example_sizes if size in sizes), None)
        sizes = [-1 if number == place else size for number, size in enumerate(sizes)]
    return [site.drawing.reshaped(site.tensor("self"), sizes)]


def _flatten(site: Site) -> list[str]:
    rank, x = site.rank("self"), site.tensor("self")
    first, last = site.whole("start_dim", 0) % rank, site.whole("end_dim", -1) % rank
    after: list[Size] = [site.drawing.size(x, axis) for axis in range(last + 1, rank)]
    return [site.drawing.reshaped(x, [*[0] * first, -1, *after])]


def _unflatten(site: Site) -> list[str]:
    rank, x = site.rank("self"), site.tensor("self")
    axis = site.axis("dim")
    after: list[Size] = [site.drawing.size(x, one) for one in range(axis + 1, rank)]
    return [site.drawing.reshaped(x, [*[0] * axis, *site.sizes("sizes"), *after])]


def _squeeze(site: Site) -> list[str]:
    if "dim" not in site.call.given:
        raise NotDrawn("it takes away every axis of size 1, whichever these are; name the axis (squeeze(1))")
    rank = site.rank("self")
    return [site.drawing.squeezed(site.tensor("self"), [axis % rank for axis in site.wholes("dim")])]


def _unsqueeze(site: Site) -> list[str]:
    return [site.drawing.unsqueezed(site.tensor("self"), [site.whole("dim") % (site.rank("self") + 1)])]


def _select(site: Site) -> list[str]:
    index = site.size("index")
    if isinstance(index, int):
        index = site.drawing.constant(np.array(index, np.int64))
    return [site.drawing.one("Gather", [site.tensor("self"), index], axis=site.axis("dim"))]


def _index_select(site: Site) -> list[str]:
    return [site.drawing.one("Gather", [site.tensor("self"), site.tensor("index")], axis=site.axis("dim"))]


def _slice(site: Site) -> list[str]:
    start, end = site.size("start", 0), site.size("end", int(LONGEST))
    return [site.drawing.sliced(site.tensor("self"), site.axis("dim", default=0), start, end, site.whole("step", 1))]


def _narrow(site: Site) -> list[str]:
    start, length = site.whole("start"), site.whole("length")
    end = int(LONGEST) if start < 0 and start + length == 0 else start + length
    return [site.drawing.sliced(site.tensor("self"), site.axis("dim"), start, end)]


def _cat(site: Site) -> list[str]:
    tensors = site.tensors("tensors")
    rank = len(site.shape_of(site.call.given["tensors"][0], "first"))
    return [site.drawing.one("Concat", tensors, axis=site.whole("dim", 0) % rank)]


def _stack(site: Site) -> list[str]:
    tensors = site.tensors("tensors")
    axis = site.whole("dim", 0) % (len(site.shape_of(site.call.given["tensors"][0], "first")) + 1)
    return [site.drawing.one("Concat", [site.drawing.unsqueezed(one, [axis]) for one in tensors], axis=axis)]


def _split(site: Site) -> list[str]:
    """In as many parts as the program has names for, all but the last of one size."""
    size, axis, x = site.whole("split_size"), site.axis("dim", default=0), site.tensor("self")
    ends = [(number + 1) * size for number in range(len(site.call.made))]
    return [site.drawing.sliced(x, axis, end - size, end) for end in ends]


def _split_with_sizes(site: Site) -> list[str]:
    sizes, axis, x = site.wholes("split_sizes"), site.axis("dim", default=0), site.tensor("self")
    ends = np.cumsum(sizes).tolist()
    return [site.drawing.sliced(x, axis, end - size, end) for size, end in zip(sizes, ends)]


def _chunk(site: Site) -> list[str]:
    return site.drawing.node(
        "Split",
        [site.tensor("self")],
        len(site.call.made),
        axis=site.axis("dim", default=0),
        num_outputs=len(site.call.made),
    )


def _unbind(site: Site) -> list[str]:
    axis, x = site.axis("dim", default=0), site.tensor("self")
    return [
        site.drawing.one("Gather", [x, site.drawing.constant(np.array(number, np.int64))], axis=axis)
        for number in range(len(site.call.made))
    ]


def _expand(site: Site) -> list[str]:
    sizes: list[Size] = [1 if size == -1 else size for size in site.sizes("size")]  # as ONNX says that one stays
    return [site.drawing.one("Expand", [site.tensor("self"), site.drawing.whole(sizes)])]


def _expand_as(site: Site) -> list[str]:
    return [site.drawing.one("Expand", [site.tensor("self"), site.drawing.one("Shape", [site.tensor("other")])])]


def _repeat(site: Site) -> list[str]:
    x, repeats = site.tensor("self"), site.sizes("repeats")
    if (more := len(repeats) - site.rank("self")) > 0:
        x = site.drawing.unsqueezed(x, range(more))
    return [site.drawing.one("Tile", [x, site.drawing.whole(repeats)])]


def _flip(site: Site) -> list[str]:
    x, rank = site.tensor("self"), site.rank("self")
    for axis in site.wholes("dims"):
        x = site.drawing.sliced(x, axis % rank, -1, -int(LONGEST), -1)
    return [x]


def _pad(site: Site) -> list[str]:
    """Torch lists the margins from the last axis on, before and after each."""
    mode = PADDING_OF.get(site.call.operator, site.value("mode", "constant"))
    if mode not in PADDINGS:
        raise NotDrawn(f"padding of the mode {mode!r} is no layer")
    margins, rank = site.wholes("pad"), site.rank("self")
    before, after = [0] * rank, [0] * rank
    for number in range(len(margins) // 2):
        before[rank - 1 - number], after[rank - 1 - number] = margins[2 * number], margins[2 * number + 1]
    given = [site.tensor("self"), site.drawing.whole([*before, *after])]
    if mode == "constant":
        given.append(site.drawing.constant(np.array(site.number("value", 0) or 0, np.float32)))
    return [site.drawing.one("Pad", given, mode=PADDINGS[mode])]


def _filled(site: Site) -> list[str]:
    """Of a size that depends on what is fed."""
    number = {"zeros": 0.0, "new_zeros": 0.0, "ones": 1.0, "new_ones": 1.0}.get(site.call.operator)
    value = site.number("fill_value") if number is None else number
    dtype = site.call.given.get("dtype")
    array = np.array(value, np.int64 if dtype in (torch.int64, torch.int32) else np.float32)
    return [site.drawing.one("Expand", [site.drawing.constant(array), site.drawing.whole(site.sizes("size"))])]


def _filled_like(site: Site) -> list[str]:
    number = {"zeros_like": 0.0, "ones_like": 1.0}.get(site.call.operator)
    value = site.number("fill_value") if number is None else number
    shape = site.drawing.one("Shape", [site.tensor("self")])
    return [site.drawing.one("Expand", [site.drawing.constant(np.array(value, np.float32)), shape])]


MOVING: Final[Mapping[str, Draw]] = {
    **dict.fromkeys(("clone", "contiguous", "detach", "detach_", "alias", "lift_fresh_copy", "lift_fresh", "positive"), _same),
    **dict.fromkeys(("dropout", "dropout_", "feature_dropout", "alpha_dropout", "native_dropout", "type_as"), _same),
    **dict.fromkeys(("to", "_to_copy", "float"), _cast),
    "transpose": _transpose,
    "swapaxes": _transpose,
    "t": _t,
    "permute": _permute,
    "movedim": _movedim,
    **dict.fromkeys(("view", "reshape", "_unsafe_view"), _view),
    "flatten": _flatten,
    "unflatten": _unflatten,
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
    "select": _select,
    "index_select": _index_select,
    "slice": _slice,
    "narrow": _narrow,
    "cat": _cat,
    "concat": _cat,
    "stack": _stack,
    **dict.fromkeys(("split", "unsafe_split"), _split),
    **dict.fromkeys(("split_with_sizes", "unsafe_split_with_sizes"), _split_with_sizes),
    **dict.fromkeys(("chunk", "unsafe_chunk"), _chunk),
    "unbind": _unbind,
    "expand": _expand,
    "expand_as": _expand_as,
    "repeat": _repeat,
    "flip": _flip,
    "pad": _pad,
    **dict.fromkeys(("constant_pad_nd", *PADDING_OF), _pad),
    **dict.fromkeys(("zeros", "ones", "full", "new_zeros", "new_ones", "new_full"), _filled),
    **dict.fromkeys(("zeros_like", "ones_like", "full_like"), _filled_like),
}
