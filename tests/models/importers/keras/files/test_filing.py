"""Which group of an archive holds which object, however the release that wrote it counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from cellserve.models.importers.keras.files.filing import Filing
from tests.models.importers.keras_files import layer

Raw = dict[str, Any]


def dense(name: str = "d", units: int = 3, **beside: Any) -> Raw:
    return {**layer("Dense", name, units=units), **beside}


def each(name: str, inner: Raw) -> Raw:
    return layer("TimeDistributed", name, layer=inner)


def filed(*layers: Raw, groups: str, written: Mapping[str, str] | None = None, attributes_rise: bool = False) -> Filing:
    """`groups`: those with arrays, apart by blanks; those around them are there too."""
    found = {"/".join(path.split("/")[:length]) for path in groups.split() for length in range(1, path.count("/") + 2)}
    return Filing({raw["config"]["name"]: raw for raw in layers}, found, written or {}, attributes_rise=attributes_rise)


@pytest.mark.parametrize("later", [dense(shared_object_id=7), dense()])
def test_an_object_that_is_not_filed_again_lies_where_it_was_met_first(later: Raw) -> None:
    filing = filed(each("a", dense()), each("b", later), later, groups="time_distributed/layer time_distributed_1")
    for path in (("a", "layer"), ("b", "layer"), ("d",)):
        assert filing.group(path) == "time_distributed/layer"


@pytest.mark.parametrize(
    ("groups", "attributes_rise"),
    [("dense dense_1", False), ("dense_1 dense_2", False), ("dense_2 dense_4", True)],
    ids=["tf-keras leaves it out", "keras 3 counts it", "tf.keras up to 2.13 counts layers with weights twice"],
)
def test_what_was_filed_before_moves_the_numbers_of_the_others_or_not(groups: str, attributes_rise: bool) -> None:
    layers = (each("t", dense("a")), dense("a", shared_object_id=7), dense("b"), dense("c"))
    filing = filed(*layers, groups=f"time_distributed/layer {groups}", attributes_rise=attributes_rise)
    assert [filing.group(path) for path in (("t", "layer"), ("a",), ("b",), ("c",))] == [
        *["time_distributed/layer"] * 2,
        *groups.split(),
    ]


def test_members_keep_their_order_past_the_ninth() -> None:
    layers = [dense(f"d{number}") for number in range(12)]
    groups = ["dense", *(f"dense_{number}" for number in range(1, 12))]
    filing = filed(*layers, groups=" ".join(groups))
    assert [filing.group((f"d{number}",)) for number in range(12)] == groups


def test_numbers_that_fit_no_release_tell_nothing() -> None:
    layers = (each("t", dense("a")), dense("a", shared_object_id=7), dense("b"), dense("c"))
    filing = filed(*layers, groups="time_distributed/layer dense dense_5")
    assert [filing.group((name,)) for name in "bc"] == ["b", "c"]


def test_names_that_are_written_tell_more_than_numbers() -> None:
    layers = (dense("a"), dense("b"))
    filing = filed(*layers, groups="dense dense_1", written={"a": "dense_1", "b": "dense"})
    assert filing.group(("a",)) == "dense_1"


def test_objects_with_arrays_of_their_own_are_not_shared_whatever_their_names() -> None:
    filing = filed(each("a", dense()), each("b", dense()), groups="time_distributed/layer time_distributed_1/layer")
    assert filing.group(("b", "layer")) == "time_distributed_1/layer"


@pytest.mark.parametrize("other", [dense(units=4), layer("LSTM", "d", units=3)])
def test_missing_arrays_are_not_taken_from_another_layer(other: Raw) -> None:
    filing = filed(each("a", dense()), each("b", other), groups="time_distributed/layer time_distributed_1")
    assert filing.group(("b", "layer")) == "time_distributed_1/layer"


def test_missing_arrays_are_not_taken_from_one_of_two_that_could_be_meant() -> None:
    filing = filed(each("a", dense()), each("b", dense()), dense(), groups="time_distributed/layer time_distributed_1/layer")
    assert filing.group(("d",)) == "d"


def test_cells_that_stand_twice_in_a_stack_and_in_another_after_it() -> None:
    one, two, three = (layer("LSTMCell", name, units=3) for name in "abc")
    again = one | {"shared_object_id": 7}
    layers = [
        layer("RNN", name, cell=layer("StackedRNNCells", f"{name}_s", cells=cells))
        for name, cells in (("r", [one, again, two]), ("q", [three, again]))
    ]
    cells = "rnn/cell/cells/lstm_cell"
    for second in ("lstm_cell_1", "lstm_cell_2"):  # tf-keras, Keras 3
        filing = filed(*layers, groups=f"{cells} rnn/cell/cells/{second} rnn_1/cell/cells/lstm_cell")
        parts = [filing.group(("r", "cell", "cells", part)) for part in ("lstm_cell", "lstm_cell_1", "lstm_cell_2")]
        assert parts == [cells, cells, f"rnn/cell/cells/{second}"]
        assert filing.group(("q", "cell", "cells", "lstm_cell_1")) == cells


def test_a_part_of_a_shared_layer() -> None:
    backward = layer("GRU", "g", units=3)
    both = layer("Bidirectional", "b", layer=layer("GRU", "f", units=3), backward_layer=backward)
    filing = filed(
        layer("GRU", "backward_g", units=3), both, groups="gru/cell bidirectional/layer/cell bidirectional/forward_layer/cell"
    )
    assert filing.group(("b", "backward_layer", "cell")) == "gru/cell"
    assert filing.group(("b", "forward_layer", "cell")) == "bidirectional/forward_layer/cell"


def test_cells_of_a_layer_that_a_bidirectional_was_made_of_after_it_was_filed() -> None:
    cell = layer("GRUCell", "c", units=3) | {"shared_object_id": 7}
    first = layer("RNN", "r", cell=layer("StackedRNNCells", "s", cells=[cell, cell])) | {"shared_object_id": 8}
    copies = [
        f"bidirectional/{way}_layer/cell/cells/gru_cell{number}" for way in ("forward", "backward") for number in ("", "_1")
    ]
    filing = filed(
        first,
        layer("RNN", "alone", cell=cell),
        layer("Bidirectional", "b", layer=first),
        groups=f"rnn/cell/cells/gru_cell rnn_1 {' '.join(copies)}",
    )
    assert [filing.group(path) for path in (("r", "cell", "cells", "gru_cell_1"), ("alone", "cell"))] == [
        "rnn/cell/cells/gru_cell"
    ] * 2
    assert [
        filing.group(("b", f"{way}_layer", "cell", "cells", part))
        for way in ("forward", "backward")
        for part in ("gru_cell", "gru_cell_1")
    ] == copies
