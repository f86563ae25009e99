"""Which cores of the machine this process may use, and how many workers they are good for. Knows no engine.

Linux tells both, a container's share included; elsewhere every core counts.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def usable_cores() -> tuple[int, ...]:
    """Their numbers, as the system counts them."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def share_cores(root: Path = _CGROUP) -> float | None:
    """How many cores' time the control group of this process may take; None: no limit, or none that can be read.

    root: where control groups are mounted, of the second version (cpu.max) or the first (cpu/cpu.cfs_quota_us).
    """
    try:
        quota, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = ((root / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        except OSError:
            return None
    limited = quota.strip().isdigit() and int(period) > 0
    return int(quota) / int(period) if limited else None


def worker_count(cores: int, share: float | None, device: str) -> int:
    """One worker for each core but one, which is for reading and answering requests; one for a GPU."""
    if device != "cpu":
        return 1
    return max(1, int(cores if share is None else min(cores, share)) - 1)


def parsed_cores(text: str, usable: Collection[int]) -> tuple[int, ...]:
    """ "0,2-4" is 0, 2, 3 and 4; "" is none. Raises ValueError, in words for the user: no core, or none of the usable ones."""
    cores: list[int] = []
    for part in text.replace(" ", "").split(",") if text.strip() else ():
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or int(last or first) < int(first):
            raise ValueError(f"{part!r} is no core; cores are written like 0,1 or 2-5")
        for core in range(int(first), int(last or first) + 1):
            if core not in usable:
                raise ValueError(f"core {core} is not for this process, which may use {', '.join(map(str, usable))}")
            cores.append(core)
    return tuple(cores)
