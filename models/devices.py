"""Which device a setting means on this machine, and waiting for one. Knows no networks."""

from __future__ import annotations

import torch

from cellserve.models.errors import Unsupported


def resolve_device(name: str) -> str:
    """`auto` is the first CUDA device, or the processor where there is none; others are themselves.

    name: auto, cpu, cuda or cuda:<n>. Raises Unsupported: a CUDA device that this machine does not have.
    """
    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return "cuda:0" if devices else "cpu"
    kind, _, number = name.partition(":")
    if kind == "cuda" and int(number or 0) >= devices:
        raise Unsupported(f"device {name!r} is not there: torch {torch.__version__} sees {devices} CUDA devices; use cpu or auto")
    return f"cuda:{number or 0}" if kind == "cuda" else name


def wait_for_launched(device: torch.device) -> None:
    """Blocks until what was launched on a CUDA device is done. A processor is done with everything as it comes.

    It waits for the stream that everything is launched on, not for the device: while chunks are recorded CUDA refuses the latter.
    """
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()


def describe_device(name: str) -> str:
    """`name`: as resolve_device gives it. A CUDA device with its model: "cuda:0 NVIDIA H100"."""
    return name if name == "cpu" else f"{name} {torch.cuda.get_device_name(name)}"
