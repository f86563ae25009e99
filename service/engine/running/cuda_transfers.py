"""Ways to a CUDA device and back that wait for nothing. As little as can be, since nothing of it runs without a GPU.

All goes through pinned memory, out of torch's cache of it: a block that a copy reads or writes is given to nobody else before the
events of that copy have passed, however early it is let go. Everything is launched on the one stream that is current, the
device's default, so that it happens in the order of the calls. Knows no batch and no network.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cellserve.models.devices import Device


class CudaTransfers:
    """Transfers (transfers.py says what each method is)."""

    deferred = True

    def __init__(self, device: Device) -> None:
        self._device = torch.device(device)

    def upload(self, staged: Tensor) -> Tensor:
        return staged.pin_memory().to(self._device, non_blocking=True)

    def download(self, tensor: Tensor) -> npt.NDArray[Any]:
        pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        array: npt.NDArray[np.generic] = pinned.copy_(tensor, non_blocking=True).numpy()
        return array

    def mark(self) -> CudaMark:
        return CudaMark(torch.cuda.current_stream(self._device))


class CudaMark:
    """An event; who waits for it leaves the processor, and the interpreter, to others."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._event = torch.cuda.Event(enable_timing=True, blocking=True)  # type: ignore[no-untyped-call]
        self._event.record(stream)

    def wait(self) -> None:
        self._event.synchronize()

    def seconds_since(self, earlier: CudaMark) -> float:
        milliseconds: float = earlier._event.elapsed_time(self._event)
        return milliseconds / 1000
