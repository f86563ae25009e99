"""Which descriptions in a configuration are of one object."""

from __future__ import annotations

from typing import Any

import pytest

from cellserve.models.importers.keras.files.tied import Described, Identities, described, numbered, snake_case
from tests.models.importers.keras_files import layer


def gru(name: str, **beside: Any) -> dict[str, Any]:
    return {**layer("GRU", name, units=3), **beside}


def both_ways(name: str, inner: dict[str, Any], **options: Any) -> dict[str, Any]:
    return layer("Bidirectional", name, layer=inner, **options)


def found(*raws: dict[str, Any], keeps_original: bool = True) -> dict[str, Described]:
    layers = [described(raw, (raw["config"]["name"],), keeps_original=keeps_original) for raw in raws]
    return {"/".join(one.path): one for top in layers for one in top.everything()}


def same(objects: dict[str, Described], *, keeps_original: bool = True) -> list[set[str]]:
    identities = Identities(objects.values(), keeps_original=keeps_original)
    alike: dict[object, set[str]] = {}
    for path, one in objects.items():
        alike.setdefault(identities.of(one), set()).add(path)
    return [paths for paths in alike.values() if len(paths) > 1]


def test_everything_in_a_layer_is_found_under_the_names_that_keras_gives_it() -> None:
    cells = [layer("LSTMCell", "a"), layer("GRUCell", "b"), layer("LSTMCell", "c")]
    stack = layer("RNN", "r", cell=layer("StackedRNNCells", "s", cells=cells))
    assert list(found(stack)) == ["r", "r/cell", "r/cell/cells/lstm_cell", "r/cell/cells/gru_cell", "r/cell/cells/lstm_cell_1"]
    assert list(found(layer("TimeDistributed", "t", layer=layer("Dense", "d")))) == ["t", "t/layer"]


@pytest.mark.parametrize("later", [gru("g"), gru("g", shared_object_id=7)])
def test_one_class_and_one_name_are_one_object(later: dict[str, Any]) -> None:
    assert same(found(layer("TimeDistributed", "t", layer=gru("g")), later)) == [{"t/layer", "g"}]


def test_objects_with_different_ids_are_not_one_whatever_their_names() -> None:
    stack = [layer("GRUCell", "c") | {"shared_object_id": number} for number in (1, 2, 1)]
    cells = same(found(layer("RNN", "r", cell=layer("StackedRNNCells", "s", cells=stack))))
    assert cells == [{"r/cell/cells/gru_cell", "r/cell/cells/gru_cell_2"}]


def test_a_bidirectional_runs_copies_of_the_layer_that_it_was_made_of() -> None:
    for inner in (gru("g"), gru("g", shared_object_id=7)):
        assert same(found(both_ways("b", inner), inner)) == [{"b/layer", "g"}]


def test_a_backward_layer_that_was_given_is_called_otherwise_later() -> None:
    layers = (both_ways("b", gru("f"), backward_layer=gru("g")), both_ways("c", gru("h"), backward_layer=gru("backward_g")))
    assert same(found(*layers, gru("backward_backward_g"))) == [{"b/backward_layer", "c/backward_layer", "backward_backward_g"}]


def test_keras_3_describes_the_copies_themselves() -> None:
    made = both_ways("b", gru("forward_g"), backward_layer=gru("backward_g"))
    assert list(found(made, keeps_original=False)) == ["b", "b/forward_layer", "b/backward_layer"]
    assert same(found(made, gru("backward_g"), keeps_original=False), keeps_original=False) == []
    given = both_ways("b", gru("forward_g"), backward_layer=gru("own", shared_object_id=3))
    assert same(found(given, gru("own"), keeps_original=False), keeps_original=False) == [{"b/backward_layer", "own"}]


def test_what_is_set_later_does_not_make_another_object() -> None:
    one, other = found(gru("g"), gru("backward_g") | {"build_config": {"input_shape": [None, 3]}}).values()
    other.raw["config"].update(trainable=False, zero_output_for_mask=True)
    assert one.agrees(other)
    other.raw["config"]["units"] = 4
    assert not one.agrees(other)


def test_names_in_an_archive() -> None:
    classes = ("LSTM", "SimpleRNN", "LeakyReLU", "StackedRNNCells", "GRUCell")
    assert [snake_case(name) for name in classes] == ["lstm", "simple_rnn", "leaky_re_lu", "stacked_rnn_cells", "gru_cell"]
    assert numbered(["dense", "lstm", "dense"]) == ["dense", "lstm", "dense_1"]
