"""What a call takes of the machine's memory: how far the process's resident memory rises above where it was; and how much there
is to take. Knows no networks.

Counted by the kernel, page by page, so it holds for every library that computes in this process, whatever its allocator. Memory
that is allocated and never touched does not count, nor does what was there before, such as weights. The kernel adds up its
counters now and then only: what a call takes and gives back can be off by a few dozen pages, about 0.2 MiB.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Final

_STATUS: Final = Path("/proc/self/status")
_CLEAR: Final = Path("/proc/self/clear_refs")
_MACHINE: Final = Path("/proc/meminfo")
_GROUPS: Final = Path("/sys/fs/cgroup")
_FORGET_THE_PEAK: Final = "5"  # proc(5): resets VmHWM to the present VmRSS


def peak_bytes(call: Callable[[], None]) -> int | None:
    """The peak during `call` above what was resident before it; None where the system does not tell (needs Linux).

    Free memory of the allocator is given back first, so that a call does not hide in what an earlier one left. A library that
    keeps memory of its own for later calls shows only what this call adds to it. A call is made in any case.
    """
    before = _reset()
    call()
    return None if before is None else max(0, _kilobytes("VmHWM") - before) * 1024


def resident_bytes() -> int | None:
    """Of this process, now; None where the system does not tell (needs Linux)."""
    try:
        return _kilobytes("VmRSS") * 1024
    except OSError:
        return None


def give_back() -> None:
    """Returns the allocator's free memory to the system, where it can.

    To be called before making what keeps memory of its own: what it gets then is not resident yet, and shows when it is used.
    """
    if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


def available_bytes(machine: Path = _MACHINE, groups: Path = _GROUPS) -> int | None:
    """What can be taken before the machine, or this process's share of it, has none left; None where nobody tells (needs Linux).

    groups: where control groups are mounted, of the second version or the first.
    """
    told = [_group_bytes(groups / "memory.max", groups / "memory.current")]
    told.append(_group_bytes(groups / "memory" / "memory.limit_in_bytes", groups / "memory" / "memory.usage_in_bytes"))
    try:
        told.append(_entry_kilobytes(machine, "MemAvailable") * 1024)
    except OSError:
        told.append(None)
    return min((one for one in told if one is not None), default=None)


def limit_bytes(machine: Path = _MACHINE, groups: Path = _GROUPS) -> int | None:
    """All that this process may ever have: of its control group, or of the machine; None where nobody tells (needs Linux)."""
    told = [_limit(groups / "memory.max"), _limit(groups / "memory" / "memory.limit_in_bytes")]
    try:
        told.append(_entry_kilobytes(machine, "MemTotal") * 1024)
    except OSError:
        told.append(None)
    return min((one for one in told if one is not None), default=None)


def _limit(most: Path) -> int | None:
    try:
        limit = most.read_text().strip()
    except OSError:
        return None
    return int(limit) if limit.isdigit() else None


def _group_bytes(most: Path, used: Path) -> int | None:
    try:
        limit, now = most.read_text().strip(), used.read_text().strip()
    except OSError:
        return None
    return max(0, int(limit) - int(now)) if limit.isdigit() and now.isdigit() else None


def _reset() -> int | None:
    """Kilobytes resident now, where the peak begins; None where it cannot be reset."""
    give_back()
    if not _CLEAR.exists():
        return None
    try:
        _CLEAR.write_text(_FORGET_THE_PEAK)
    except OSError:
        return None
    return _kilobytes("VmRSS")


def _kilobytes(entry: str) -> int:
    return _entry_kilobytes(_STATUS, entry)


def _entry_kilobytes(table: Path, entry: str) -> int:
    """Raises OSError: it is not there."""
    for line in table.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == entry:
            return int(value.split()[0])
    raise OSError(f"{table} has no {entry}")
