"""The peak of resident memory: what is touched during a call counts, even when it is given back before the end."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from cellserve.models.measuring import resident_memory
from cellserve.models.measuring.resident_memory import available_bytes, limit_bytes, peak_bytes

MEBIBYTE = 2**20

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's counters are Linux's")


def touch(mebibytes: int) -> None:
    np.ones(mebibytes * MEBIBYTE, dtype=np.uint8).sum()


@linux_only
def test_the_peak_is_what_was_touched_at_once() -> None:
    def twice() -> None:
        touch(40)  # beyond what the allocator may keep for later
        touch(64)

    touch(128)  # a higher peak of the process, earlier
    peak = peak_bytes(twice)
    assert peak is not None
    assert 63 * MEBIBYTE < peak < 110 * MEBIBYTE  # the allocator may keep the first


@linux_only
def test_a_call_that_needs_nothing_shows_nearly_nothing() -> None:
    peak = peak_bytes(lambda: None)
    assert peak is not None
    assert peak < MEBIBYTE


def test_where_the_system_does_not_tell_the_call_is_made_all_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[str] = []
    monkeypatch.setattr(resident_memory, "_CLEAR", tmp_path / "missing")
    assert peak_bytes(lambda: calls.append("made")) is None
    assert calls == ["made"]


def test_what_is_free_is_the_least_of_the_machine_and_the_groups(tmp_path: Path) -> None:
    machine = tmp_path / "meminfo"
    assert available_bytes(machine, tmp_path) is None
    machine.write_text("MemTotal:       2000 kB\nMemAvailable:   1000 kB\n")
    assert available_bytes(machine, tmp_path) == 1000 * 1024
    for limit, free in (("max", 1000 * 1024), ("500000", 400000), ("50000", 0)):
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        (tmp_path / "memory.current").write_text("100000\n")
        assert available_bytes(machine, tmp_path) == free


def test_the_first_version_of_control_groups_tells_too(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/memory.limit_in_bytes").write_text("700\n")
    (tmp_path / "memory/memory.usage_in_bytes").write_text("100\n")
    assert available_bytes(tmp_path / "meminfo", tmp_path) == 600


def test_what_there_is_for_a_process_is_its_groups_limit_or_the_machines_memory(tmp_path: Path) -> None:
    machine = tmp_path / "meminfo"
    assert limit_bytes(machine, tmp_path) is None
    machine.write_text("MemTotal:  1000 kB\nMemAvailable:  10 kB\n")
    assert limit_bytes(machine, tmp_path) == 1000 * 1024
    for told, limit in (("max", 1000 * 1024), ("600", 600)):
        (tmp_path / "memory.max").write_text(f"{told}\n")
        assert limit_bytes(machine, tmp_path) == limit
