"""Numbers of the host that index something on a device: sent without waiting for what the device is doing.

From a list torch would copy to a GPU out of ordinary memory, and the thread would stand still until all launched before is done.
Out of pinned memory the copy takes its place in the stream, and torch gives that memory to nobody else before it has passed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def indices(numbers: Sequence[int], device: torch.device) -> Tensor:
    """[N] int64 on the device."""
    if device.type != "cuda":
        return torch.tensor(numbers, dtype=torch.int64, device=device)
    return torch.tensor(numbers, dtype=torch.int64, pin_memory=True).to(device, non_blocking=True)
