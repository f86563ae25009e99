"""What can be recorded, and in which pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellserve.models.description.causal_plan import causal_plan
from cellserve.models.description.layers.cells import LstmLayer
from cellserve.models.description.layers.rows import LastStepLayer, ReverseLayer
from cellserve.models.description.layers.stepwise import MaskingLayer
from cellserve.models.description.layers.windowed import Conv1dLayer
from cellserve.models.recording.rules import LONGEST_PIECE, RECORDED_LABELS, obstacle_to_recording, pieces, row_bucket
from cellserve.models.spec import LayerSpec
from tests.models.networks import chain

LSTM = LstmLayer(name="lstm", inputs=("x",), units=4)


def obstacle(*layers: LayerSpec, label: str = "2") -> str | None:
    return obstacle_to_recording(causal_plan(chain(*layers)), label)


@pytest.mark.parametrize("label", RECORDED_LABELS)
def test_loops_are_recorded_with_masks_that_layers_make(label: str) -> None:
    assert obstacle(LSTM, label=label) is None
    masked = LstmLayer(name="lstm", inputs=("masking",), units=4, return_sequences=True)
    assert obstacle(MaskingLayer(name="masking", inputs=("x",)), masked, LastStepLayer(name="l", inputs=("lstm",))) is None


def test_what_decides_on_the_host_is_not() -> None:
    assert "by the lengths of rows" in str(obstacle(LSTM, label="fused"))
    assert "by the lengths of rows" in str(obstacle(LSTM, label="onnxruntime"))
    assert "by the lengths of rows" in str(obstacle(LSTM, label="packed"))
    conv = Conv1dLayer(name="conv", inputs=("x",), units=3, kernel_size=1)
    assert "'conv'" in str(obstacle(conv, LstmLayer(name="lstm", inputs=("conv",), units=4)))
    assert "'turned'" in str(
        obstacle(ReverseLayer(name="turned", inputs=("x",)), LstmLayer(name="l", inputs=("turned",), units=4))
    )


@given(st.integers(1, 1000))
def test_pieces_cover_the_steps_and_little_more(steps: int) -> None:
    found = pieces(steps)
    assert all(piece & (piece - 1) == 0 and piece <= LONGEST_PIECE for piece in found)
    assert steps <= sum(found) <= steps + found[-1] / 8
    assert steps > sum(found[:-1])
    assert len(found) <= steps // LONGEST_PIECE + 8


def test_pieces() -> None:
    assert pieces(1) == (1,)
    assert pieces(64) == (64,)
    assert pieces(60) == (64,)
    assert pieces(65) == (64, 1)
    assert pieces(100) == (64, 32, 4)
    assert pieces(300) == (128, 128, 32, 8, 4)


def test_rows_are_rounded_up_to_a_power_of_two() -> None:
    assert [row_bucket(rows) for rows in (1, 2, 3, 4, 5, 33, 64, 65)] == [1, 2, 4, 4, 8, 64, 64, 128]
