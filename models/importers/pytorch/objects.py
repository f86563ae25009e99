"""PyTorch files that hold pickled objects beside arrays, refused by what these are.

Reads names alone and runs nothing. Source: torch.serialization 2.x.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NoReturn

from torch.serialization import get_unsafe_globals_in_checkpoint

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.names import listed

PACKED: Final = ("torch.ScriptObject", "torch._utils._rebuild_qtensor", "torch.per_channel_affine", "torch.per_tensor_affine")
SHOWN: Final = 3


def refuse_objects(path: Path, cause: BaseException) -> NoReturn:
    """Raises ImportRefused naming what a pickle asks for beside tensors."""
    try:
        wanted = get_unsafe_globals_in_checkpoint(path)
    except Exception:  # a damaged pickle makes torch's reader raise anything at all
        wanted = []
    raise ImportRefused(str(path), _what(wanted)) from cause


def _what(wanted: list[str]) -> str:
    if any(name in PACKED or "quantized" in name for name in wanted):
        return (
            f"it holds quantized weights, packed by torch's own kernels ({listed(wanted, SHOWN)}), which are not supported; save "
            "the state dict of the model as it was before quantization, in float32"
        )
    modules = [name for name in wanted if name.startswith("torch.nn.")]
    if modules:
        own = [name for name in wanted if name not in modules]
        return (
            f"this is a whole pickled module ({listed(own + modules, SHOWN)}): reading it would run code, which is never done. "
            "Where it was made, save the weights alone with torch.save(model.state_dict(), path)"
        )
    holds = f" ({listed(wanted, SHOWN)})" if wanted else ""
    return (
        f"the file holds more than weights{holds}: reading it would run code, which is never done. Save the weights alone with "
        "torch.save(model.state_dict(), path)"
    )
