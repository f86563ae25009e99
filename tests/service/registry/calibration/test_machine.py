from __future__ import annotations

import platform
from pathlib import Path

import pytest

from cellserve.service.registry.calibration import machine

CPUINFO = "processor\t: 0\nmodel name\t: A Chip\nflags\t\t: fast wide\n\nprocessor\t: 1\nmodel name\t: Another\n"


def test_it_names_the_machine_and_what_computes() -> None:
    facts = machine.identity()
    assert facts == machine.identity()
    assert facts["host"] == platform.node()
    assert facts["torch"].startswith("2.")
    assert all(isinstance(value, str) for value in facts.values())


def test_the_first_processor_and_its_instruction_sets(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    assert machine._processor(tmp_path / "cpuinfo") == ("A Chip", "fast wide")


def test_a_system_that_does_not_tell(tmp_path: Path) -> None:
    assert machine._processor(tmp_path / "none") == (platform.processor(), "")


def test_a_library_that_is_not_there_is_a_fact_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_LIBRARIES", ("no-such-library",))
    assert machine.identity()["no-such-library"] == "none"


def test_another_build_of_the_networks_is_another_machine(tmp_path: Path) -> None:
    (tmp_path / "implementations").mkdir()
    kernel = tmp_path / "implementations" / "kernel.py"
    kernel.write_text("slow = True")
    before = machine.code_digest(tmp_path)
    assert machine.code_digest(tmp_path) == before
    kernel.write_text("slow = False")
    assert machine.code_digest(tmp_path) != before
    without = machine.code_digest(tmp_path)
    (tmp_path / "libpacked.so").write_bytes(b"compiled since")
    assert machine.code_digest(tmp_path) != without
    assert machine.identity()["code"] == machine.code_digest() != machine.code_digest(tmp_path)
