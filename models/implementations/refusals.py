"""Which layers each implementation cannot run, and why, as the end of a sentence about the layer. None: it can.

Asked of every network before any kernel is made. Knows no kernel, and imports no library that computes.
"""

from __future__ import annotations

from importlib.util import find_spec

from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.implementations.library_kernels import onnx_operator, torch_kernel
from cellserve.models.implementations.onnxruntime.activations import KNOWN
from cellserve.models.implementations.packed import description, library


def nothing(layer: RecurrentLayer) -> str | None:
    return None


def by_fused(layer: RecurrentLayer) -> str | None:
    try:
        kernel = torch_kernel(layer)
    except ValueError as error:
        return str(error)
    if layer.mask_rule == "reset":
        return "a masked step resets its state; torch's kernels compute without masks"
    return kernel.lacks(layer)


def by_onnxruntime(layer: RecurrentLayer) -> str | None:
    if missing := [name for name in ("onnxruntime", "onnx") if find_spec(name) is None]:
        return f"{missing[0]} is not installed"
    try:
        operator = onnx_operator(layer)
    except ValueError as error:
        return str(error)
    if layer.mask_rule == "reset":
        return "a masked step resets its state; ONNX's operators compute without masks"
    if (what := operator.lacks(layer)) is not None:
        return what
    for option, function in layer.functions.items():
        if function.name not in KNOWN:
            return f"its {option} is {function.name}; ONNX's recurrent operators do not have it"
    return None


def by_packed(layer: RecurrentLayer) -> str | None:
    if (what := description.obstacle(layer)) is not None:
        return what
    if layer.mask_rule == "reset":
        return "a masked step resets its state; the packed kernel computes without masks"
    return library.missing()


def by_packed_bfloat16(layer: RecurrentLayer) -> str | None:
    if (what := by_packed(layer)) is not None:
        return what
    if library.bfloat16_path(library.loaded()) is None:
        return "this processor does not multiply in bfloat16 (avx512_bf16)"
    return None
