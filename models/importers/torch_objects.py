"""PyTorch files that hold more than arrays, refused by what they hold: programs (TorchScript, torch.export) and pickled objects.

Reads names alone and runs nothing. Source: torch.serialization, torch.jit, torch.export 2.x.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final, NoReturn

from torch.serialization import get_unsafe_globals_in_checkpoint

from cellserve.models.errors import ImportRefused

TORCHSCRIPT: Final = "constants.pkl"  # beside data.pkl; torch's own loaders tell it by this
PACKED: Final = ("torch.ScriptObject", "torch._utils._rebuild_qtensor", "torch.per_channel_affine", "torch.per_tensor_affine")
SHOWN: Final = 3


def is_program(names: Iterable[str]) -> bool:
    """Whether a zip archive of these entries is a TorchScript program."""
    return any(name.rpartition("/")[2] == TORCHSCRIPT for name in names)


def refuse_program(names: Iterable[str], path: Path) -> None:
    """Raises ImportRefused for an archive of TorchScript."""
    if is_program(names):
        raise ImportRefused(
            str(path),
            "this is a TorchScript program (torch.jit.save), which would have to be run; programs are never run here. Where you "
            "trust it, take its weights out, and import those: "
            f'torch.save(torch.jit.load("{path.name}", map_location="cpu").state_dict(), "{path.stem}.weights.pt")',
        )


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
            f"it holds quantized weights, packed by torch's own kernels ({_listed(wanted)}), which are not supported; save the "
            "state dict of the model as it was before quantization, in float32"
        )
    modules = [name for name in wanted if name.startswith("torch.nn.")]
    if modules:
        own = [name for name in wanted if name not in modules]
        return (
            f"this is a whole pickled module ({_listed(own + modules)}): reading it would run code, which is never done. Where "
            "it was made, save the weights alone with torch.save(model.state_dict(), path)"
        )
    holds = f" ({_listed(wanted)})" if wanted else ""
    return (
        f"the file holds more than weights{holds}: reading it would run code, which is never done. Save the weights alone with "
        "torch.save(model.state_dict(), path)"
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
