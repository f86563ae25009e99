"""States on disk while the server runs: what is given back is used again, but not while somebody still reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cellserve.service.sessions.storage.parking import ParkingFile
from cellserve.service.sessions.tombstones import SessionKey
from tests.service.sessions.fakes import Stage, answer


def test_rows_are_read_as_written_and_used_again(tmp_path: Path) -> None:
    file = ParkingFile(tmp_path, 3)
    first = file.take(2)
    states = np.arange(6, dtype=np.float32).reshape(2, 3)
    file.write(first, states)
    np.testing.assert_array_equal([file.read(slot) for slot in first], states)
    file.give_back(first[0])
    assert file.take(2) == [first[0], 2]
    with pytest.raises(OSError, match="0 bytes long"):
        file.read(7)
    assert not list(tmp_path.iterdir())  # it has no name
    file.close()


def test_what_is_given_back_while_held_is_not_written_over(tmp_path: Path) -> None:
    file = ParkingFile(tmp_path, 1)
    (slot,) = file.take(1)
    file.hold()
    file.give_back(slot)
    assert file.take(1) != [slot]
    file.release()
    assert file.take(1) == [slot]
    file.close()


async def test_a_state_that_is_being_written_to_disk_stays_readable_when_its_sequence_goes_on(tmp_path: Path) -> None:
    stage = Stage(memory_bytes=12, directory=tmp_path)  # one state
    await stage.start("a", 1)
    await stage.start("b", 10)
    parked = stage.sessions._live.place(SessionKey("m", "a")).parked
    assert parked is not None
    with stage.sessions._capacity.unchanged_disk():
        assert answer(await stage.feed("a", 2)) == [3]
        assert answer(await stage.feed("b", 20)) == [30]  # b was parked meanwhile
        assert parked.read()[0] == 1
    await stage.sessions.stop()
