"""Between host memory and a network's device: what goes there, what comes back, and when it is there.

On a processor both are the same memory and everything is there at once. On a GPU a caller only launches: what is downloaded comes
with a mark that was set after it. Knows no batch and no network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy.typing as npt

from cellserve.models.devices import Device

if TYPE_CHECKING:
    from torch import Tensor


class Mark(Protocol):
    """A place in the order of what was launched."""

    def wait(self) -> None:
        """Blocks until the device has come so far. Raises RuntimeError if something on the way there failed."""
        ...

    def seconds_since(self, earlier: Self) -> float:
        """Of the device, between two marks that have been waited for."""
        ...


class Transfers(Protocol):
    @property
    def deferred(self) -> bool:
        """Whether anything is there later than it is asked for. If not, marks are not needed."""
        ...

    def upload(self, staged: Tensor) -> Tensor:
        """`staged`, in host memory, on the device. Where it is deferred, its memory may be used again at once."""
        ...

    def download(self, tensor: Tensor) -> npt.NDArray[Any]:
        """Its numbers in host memory; where it is deferred, anything until a mark that is set from now on has been waited for."""
        ...

    def mark(self) -> Mark:
        """Set behind everything launched so far."""
        ...


class HostTransfers:
    """Nothing goes anywhere."""

    deferred = False

    def upload(self, staged: Tensor) -> Tensor:
        return staged

    def download(self, tensor: Tensor) -> npt.NDArray[Any]:
        array: npt.NDArray[Any] = tensor.numpy()
        return array

    def mark(self) -> Mark:
        raise ValueError("in host memory everything is there at once; there is nothing to wait for")


def transfers_of(device: Device) -> Transfers:
    if device.type != "cuda":
        return HostTransfers()
    from cellserve.service.engine.running.cuda_transfers import CudaTransfers

    return CudaTransfers(device)
