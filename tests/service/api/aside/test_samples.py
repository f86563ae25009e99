"""Which inputs of real requests are kept, and until when."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cellserve.service.api.aside.samples import Samples
from cellserve.service.api.requests.row_inputs import RowInputs
from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import InvalidInput
from cellserve.service.registry.model_settings import ModelSettings, RecordSettings

VERSION: Any = SimpleNamespace(key=VersionKey("digits", 3))


def rows(*numbers: float, **further: Any) -> RowInputs:
    sequences = [np.full((2, 3), number, np.float32) for number in numbers]
    vectors = [np.float32([number]) for number in numbers]
    return RowInputs((sequences, vectors), further.get("masks"), further.get("states"), [2] * len(numbers), 2)


def samples(record: RecordSettings | None) -> tuple[Samples, dict[str, ModelSettings]]:
    settings = {"digits": ModelSettings(record=record)}
    return Samples(settings.__getitem__, lambda: 0.0), settings


def test_rows_are_kept_whole_and_as_they_were() -> None:
    kept, _ = samples(RecordSettings(rows=2))
    given = rows(1, 2)
    kept.offer(VERSION, given, [])
    given.inputs[0][0][:] = 9  # a buffer that is used again
    sample = kept.of("digits")
    assert sample.offered == 2
    assert [[array.tolist() for array in row] for row in sample.rows] == [
        [[[1, 1, 1], [1, 1, 1]], [1]],
        [[[2, 2, 2], [2, 2, 2]], [2]],
    ]


def test_nothing_is_kept_that_nobody_asks_for() -> None:
    kept, _ = samples(None)
    kept.offer(VERSION, rows(1), [])
    with pytest.raises(InvalidInput, match="nothing is recorded of digits"):
        kept.of("digits")


def test_rows_that_inputs_alone_do_not_tell_are_left_out() -> None:
    kept, _ = samples(RecordSettings())
    kept.offer(VERSION, rows(1, masks=[None]), [])
    kept.offer(VERSION, rows(1, states=np.zeros((1, 4), np.float32)), [])
    assert kept.of("digits") == ([], 0)


@pytest.mark.parametrize("asked", [None, RecordSettings(rows=7)])
def test_a_sample_goes_when_the_owner_asks_for_another_or_none(asked: RecordSettings | None) -> None:
    kept, settings = samples(RecordSettings())
    kept.offer(VERSION, rows(1), [])
    kept.follow()
    assert kept.of("digits").offered == 1
    before = settings["digits"]
    settings["digits"] = ModelSettings(record=asked)
    kept.follow()
    settings["digits"] = before
    assert kept.of("digits").offered == 0
