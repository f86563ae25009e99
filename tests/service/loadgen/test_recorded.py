"""Recorded traffic as a CSV has it."""

from pathlib import Path

import numpy as np
import pytest

from cellserve.service.errors import InvalidInput
from cellserve.service.loadgen import lengths, recorded


def written(folder: Path, text: str) -> Path:
    path = folder / "trace.csv"
    path.write_text(text)
    return path


def test_requests_come_in_the_order_of_their_times_from_the_first_on(tmp_path: Path) -> None:
    trace = recorded.read(written(tmp_path, "steps,seconds,who\n7,12.5,a\n3,10,b\n"), times=True)
    assert trace.due_seconds.tolist() == [0.0, 2.5]
    assert trace.steps.tolist() == [3, 7]


def test_lengths_alone_need_no_times(tmp_path: Path) -> None:
    path = written(tmp_path, "steps\n4\n4\n9\n")
    drawn = lengths.parse(f"trace:{path}").draw(np.random.default_rng(0), 300)
    assert set(drawn.tolist()) == {4, 9}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("steps\n4\n", "'seconds'"),
        ("seconds,steps\n", "no line below"),
        ("seconds,steps\n0,4\n1,four\n", "line 3"),
        ("seconds,steps\n0,0\n", "line 2: steps are at least 1"),
        ("seconds,steps\nnan,1\n", "line 2"),
        ("seconds,steps\n1\n", "line 2"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        recorded.read(written(tmp_path, text), times=True)


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"none\.csv cannot be read"):
        lengths.parse(f"trace:{tmp_path / 'none.csv'}")
