"""Damaged TFLite files: a network or a sentence, whatever they hold."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import pytest

from cellserve.models import importers
from cellserve.models.errors import ImportRefused, ModelError
from tests.models.importers.damage import damaged

GOOD = Path(__file__).parents[3] / "golden" / "tfl_coupled_peepholes.tflite"
FILES = 60


@pytest.mark.parametrize("part", [0.01, 0.2, 0.5, 0.9])
def test_a_file_that_is_cut_short(tmp_path: Path, part: float) -> None:
    content = GOOD.read_bytes()
    path = tmp_path / "short.tflite"
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(ImportRefused, match="damaged or cut short"):
        importers.load(path)


def test_files_that_were_damaged_give_a_network_or_a_sentence(tmp_path: Path) -> None:
    content, numbers, path = GOOD.read_bytes(), random.Random(7), tmp_path / "damaged.tflite"
    for _ in range(FILES):
        spoilt = damaged(content, numbers)
        path.write_bytes(spoilt[:4] + b"TFL3" + spoilt[8:])
        with suppress(ModelError):  # anything else is a fault
            importers.load(path)
