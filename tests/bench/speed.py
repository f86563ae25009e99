"""How fast the machine is for a benchmark: as it is, at half of its time by a quota, or one core of it. Knows no benchmarks.

A quota is that of a container with a limit: a control group of its own under the processor's, of the first version or the second,
which needs the right to make one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

FULL, HALF, ONE_CORE = "full speed", "half of the time, by a quota", "one core"
ALL: Final = (FULL, HALF, ONE_CORE)
PERIOD_MICROSECONDS: Final = 100_000
_GROUPS: Final = Path("/sys/fs/cgroup")

Confine = Callable[[], None]  # called in a child, before it becomes what it shall run


@contextmanager
def confined(speed: str) -> Iterator[Confine]:
    """What confines a child to a speed, for as long as the block lasts. Raises OSError: no quota can be set here."""
    cores = sorted(os.sched_getaffinity(0))
    if speed == ONE_CORE:
        yield lambda: os.sched_setaffinity(0, cores[:1])
        return
    if speed == FULL:
        yield lambda: None
        return
    group = _new_group(len(cores) * PERIOD_MICROSECONDS // 2)
    try:
        yield lambda: _join(group)
    finally:
        group.rmdir()


def _join(group: Path) -> None:
    (group / "cgroup.procs").write_text(str(os.getpid()))


def _new_group(quota_microseconds: int) -> Path:
    second = (_GROUPS / "cgroup.controllers").exists()
    group = (_GROUPS if second else _GROUPS / "cpu") / f"cellserve-bench-{os.getpid()}"
    group.mkdir()
    try:
        if second:
            (group / "cpu.max").write_text(f"{quota_microseconds} {PERIOD_MICROSECONDS}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_MICROSECONDS))
            (group / "cpu.cfs_quota_us").write_text(str(quota_microseconds))
    except OSError:
        group.rmdir()
        raise
    return group
