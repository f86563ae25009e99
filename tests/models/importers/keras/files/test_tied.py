"""Which layer of an archive holds the arrays of an object that several share."""

from __future__ import annotations

from typing import Any

import pytest

from cellserve.models.importers.keras.files.tied import numbered, shared, snake_case
from tests.models.importers.keras_files import layer


def dense(units: int = 3, **beside: Any) -> dict[str, Any]:
    return {**layer("Dense", "d", units=units), **beside}


def around(inner: dict[str, Any]) -> dict[str, Any]:
    return layer("TimeDistributed", "each", layer=inner)


@pytest.mark.parametrize("later", [dense(shared_object_id=7), dense()])
def test_an_object_that_is_not_filed_again_lies_where_it_was_met_first(later: dict[str, Any]) -> None:
    layers = {"time_distributed": around(dense()), "time_distributed_1": around(later), "dense": later}
    found = shared(layers, {"time_distributed/layer"})
    assert found == {"time_distributed_1/layer": "time_distributed/layer", "dense": "time_distributed/layer"}


def test_objects_with_arrays_of_their_own_are_not_shared_whatever_their_names() -> None:
    assert shared({"a": around(dense()), "b": around(dense())}, {"a/layer", "b/layer"}) == {}


def test_missing_arrays_are_not_taken_from_another_layer() -> None:
    assert shared({"a": around(dense()), "b": around(dense(units=4))}, {"a/layer"}) == {}
    assert shared({"a": around(dense()), "b": layer("LSTM", "d", units=3)}, {"a/layer"}) == {}


def test_cells_that_stand_twice_in_a_stack() -> None:
    one, two = (layer("LSTMCell", name, units=3) for name in "ab")
    stack = layer("StackedRNNCells", "s", cells=[one, two, one])
    both = layer("Bidirectional", "both", layer=layer("RNN", "r", cell=stack))
    place = "bidirectional/forward_layer/cell/cells"
    assert shared({"bidirectional": both}, {f"{place}/lstm_cell", f"{place}/lstm_cell_1"}) == {
        f"{place}/lstm_cell_2": f"{place}/lstm_cell"
    }


def test_names_in_an_archive() -> None:
    classes = ("LSTM", "SimpleRNN", "LeakyReLU", "StackedRNNCells", "GRUCell")
    assert [snake_case(name) for name in classes] == ["lstm", "simple_rnn", "leaky_re_lu", "stacked_rnn_cells", "gru_cell"]
    assert numbered(["dense", "lstm", "dense"]) == ["dense", "lstm", "dense_1"]
