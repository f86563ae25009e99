"""Cores: what control groups and users write is read as it is meant, and how many workers follow."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellserve.service.process.cores import parsed_cores, share_cores, usable_cores, worker_count


@pytest.mark.parametrize(
    ("files", "share"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4.0),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.max": "something else entirely\n"}, None),
        ({}, None),
    ],
)
def test_the_share_of_a_control_group(tmp_path: Path, files: dict[str, str], share: float | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert share_cores(tmp_path) == share


@pytest.mark.parametrize(
    ("cores", "share", "device", "workers"),
    [
        (2, None, "cpu", 1),
        (1, None, "cpu", 1),
        (16, None, "cpu", 15),
        (64, 4.0, "cpu", 3),
        (64, 0.5, "cpu", 1),
        (16, None, "cuda:0", 1),
    ],
)
def test_one_core_is_left_for_reading_and_answering(cores: int, share: float | None, device: str, workers: int) -> None:
    assert worker_count(cores, share, device) == workers


@pytest.mark.parametrize(("text", "cores"), [("", ()), ("3", (3,)), ("0, 2-4,1", (0, 2, 3, 4, 1)), ("2-2,2", (2, 2))])
def test_cores_are_listed_alone_or_from_to(text: str, cores: tuple[int, ...]) -> None:
    assert parsed_cores(text, range(5)) == cores


@pytest.mark.parametrize("text", ["a", "1-", "-1", "1,b-2", "3-1", "\u00b2", ",", "1,,2"])
def test_what_is_no_core_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no core; cores are written like 0,1 or 2-5"):
        parsed_cores(text, range(5))


@pytest.mark.parametrize("text", ["2", "0,2", "0-99999999999"])
def test_a_core_that_is_not_there_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="core 2 is not for this process, which may use 0, 1"):
        parsed_cores(text, (0, 1))


def test_the_usable_cores_are_usable() -> None:
    assert parsed_cores(",".join(map(str, usable_cores())), usable_cores()) == usable_cores()
