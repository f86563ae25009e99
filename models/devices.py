"""Which device a setting means on this machine, and waiting for one. Knows no networks.

On a processor torch is not asked, and not imported: a server that computes without it stays small.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Final

from cellserve.models.errors import Unsupported

_DRIVERS: Final = ("libcuda.so.1", "libcuda.so")  # NVIDIA's, without which torch finds no device
_OTHER_DRIVER: Final = Path("/dev/kfd")  # AMD's, whose devices torch calls cuda as well


class Device(str):
    """The name of a device, as torch takes it: cpu, cuda, cuda:<n>."""

    __slots__ = ()

    @property
    def type(self) -> str:
        """cpu or cuda."""
        return self.partition(":")[0]


def resolve_device(name: str) -> Device:
    """`auto` is the first CUDA device, or the processor where there is none; others are themselves.

    name: auto, cpu, cuda or cuda:<n>. Raises Unsupported: a CUDA device that this machine does not have.
    """
    if name == "cpu" or (name == "auto" and not _may_have_gpu()):
        return Device("cpu")
    import torch

    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return Device("cuda:0" if devices else "cpu")
    kind, _, number = name.partition(":")
    if kind == "cuda" and int(number or 0) >= devices:
        raise Unsupported(f"device {name!r} is not there: torch {torch.__version__} sees {devices} CUDA devices; use cpu or auto")
    return Device(f"cuda:{number or 0}" if kind == "cuda" else name)


def wait_for_launched(device: Device) -> None:
    """Blocks until what was launched on a CUDA device is done. A processor is done with everything as it comes.

    It waits for the stream that everything is launched on, not for the device: while chunks are recorded CUDA refuses the latter.
    """
    if device.type == "cuda":
        import torch

        torch.cuda.current_stream(device).synchronize()


def describe_device(name: str) -> str:
    """`name`: as resolve_device gives it. A CUDA device with its model: "cuda:0 NVIDIA H100"."""
    if name == "cpu":
        return name
    import torch

    return f"{name} {torch.cuda.get_device_name(name)}"


def _may_have_gpu() -> bool:
    """Whether a driver is there at all; elsewhere than on Linux torch has to be asked."""
    return not sys.platform.startswith("linux") or _OTHER_DRIVER.exists() or any(_loads(name) for name in _DRIVERS)


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
