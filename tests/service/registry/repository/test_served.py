import logging
from pathlib import Path

import pytest

from cellserve.service.registry.repository import served
from cellserve.service.registry.repository.served import SERVED_FILE, Answered


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    assert served.read(tmp_path) == {}
    record = {"": Answered(versions=(2, 1)), "stable": Answered(versions=(1,), failing=3, reason="damaged")}
    served.write(tmp_path, record)
    assert served.read(tmp_path) == record


def test_a_damaged_record_is_told_and_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / SERVED_FILE).write_text("{")
    with caplog.at_level(logging.WARNING):
        assert served.read(tmp_path) == {}
    assert "no version is known to have served" in caplog.text


def test_the_last_to_serve_comes_first_and_the_oldest_are_forgotten() -> None:
    answered = Answered()
    for version in (1, 2, 3, 2):
        answered = answered.serving(version)
    assert answered.versions == (2, 3, 1)
    for version in range(10, 30):
        answered = answered.serving(version)
    assert answered.versions == tuple(range(29, 21, -1))


def test_falling_back_forgets_nobody_and_serving_again_ends_it() -> None:
    fallen = Answered(versions=(2, 1)).fallen_back(3, "damaged")
    assert (fallen.versions, fallen.failing, fallen.reason) == ((2, 1), 3, "damaged")
    assert fallen.serving(3) == Answered(versions=(3, 2, 1))
