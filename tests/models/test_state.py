"""Recurrent state: rows in and out of a slab, and the named columns of a row."""

from __future__ import annotations

import pytest
import torch

from cellserve.models.description.layers.cells import GruLayer, LstmLayer
from cellserve.models.description.layers.stepwise import DenseLayer
from cellserve.models.description.state_layout import StateLayout
from cellserve.models.state import RecurrentState
from tests.models.networks import chain

LAYOUT = StateLayout.of(
    chain(
        LstmLayer(name="lstm", inputs=("x",), units=3, projection_units=2, return_sequences=True),
        GruLayer(name="gru", inputs=("lstm",), units=4),
    )
)


def counted(rows: int) -> RecurrentState:
    return RecurrentState(LAYOUT, torch.arange(rows * LAYOUT.width, dtype=torch.float32).reshape(rows, -1))


def test_a_fresh_state_is_zeros() -> None:
    state = RecurrentState.zeros(LAYOUT, 5)
    assert state.rows == 5
    assert state.data.shape == (5, LAYOUT.width)
    assert not state.data.any()


def test_columns_in_order_with_seen_after_each_layer() -> None:
    state = counted(2)
    widths = [(0, "h", 2), (0, "c", 3), (0, "seen", 1), (1, "h", 4), (1, "seen", 1)]
    views = [state.view(layer, name) for layer, name, _ in widths]
    assert [view.shape[1] for view in views] == [width for _, _, width in widths]
    assert torch.equal(torch.cat(views, dim=1), state.data)


def test_views_share_memory_with_the_row() -> None:
    state = RecurrentState(LAYOUT, torch.zeros(2, LAYOUT.width))
    state.view(1, "h").fill_(7)
    assert state.data.sum() == 2 * 4 * 7


def test_a_state_that_no_layer_has_is_an_error() -> None:
    with pytest.raises(KeyError, match="recurrent layer 1 has no state 'c'"):
        counted(1).view(1, "c")


def test_take_copies_rows_in_the_order_asked() -> None:
    pool = counted(4)
    taken = pool.take([3, 1])
    assert torch.equal(taken.data, pool.data[[3, 1]])
    assert taken.data.data_ptr() != pool.data.data_ptr()


@pytest.mark.parametrize("rows", [[3, 1], torch.tensor([3, 1])], ids=["list", "tensor"])
def test_put_overwrites_those_rows_and_no_other(rows: list[int] | torch.Tensor) -> None:
    pool, before = counted(4), counted(4)
    pool.put(rows, RecurrentState(LAYOUT, -torch.ones(2, LAYOUT.width)))
    assert (pool.data[[1, 3]] == -1).all()
    assert torch.equal(pool.data[[0, 2]], before.data[[0, 2]])


def test_put_works_on_a_slab_made_anywhere() -> None:
    pool = RecurrentState.zeros(LAYOUT, 2)
    pool.put([1], counted(1))
    assert torch.equal(pool.take([1]).data, counted(1).data)


def test_joined_is_the_inverse_of_layer() -> None:
    state = counted(3)
    again = RecurrentState.joined(LAYOUT, [state.layer(0), state.layer(1)], 3, torch.device("cpu"))
    assert torch.equal(again.data, state.data)


def test_a_network_without_recurrence_has_rows_of_no_width() -> None:
    layout = StateLayout.of(chain(DenseLayer(name="dense", inputs=("x",), units=2)))
    state = RecurrentState.joined(layout, [], 3, torch.device("cpu"))
    state.put([0], state.take([2]))
    assert state.data.shape == (3, 0)
