"""Which array is whose, by name, in the spellings of every Keras; and names that do not tell."""

from __future__ import annotations

import pytest

from cellserve.models.importers.keras.files.names import Fork, Sibling, Unclear, are_names, in_loading_order, of_part

ROLES = ("kernel", "recurrent_kernel", "bias")


def of(prefix: str, roles: tuple[str, ...] = ROLES, end: str = "") -> list[str]:
    return [f"{prefix}{role}{end}" for role in roles]


def directions(forward: str, backward: str, chosen: int) -> Fork:
    names = ((forward, f"forward_{forward}"), (backward, f"backward_{backward}"))
    return Fork(tuple(Sibling(own) for own in names), chosen)


def stack(chosen: int, *cells: Sibling) -> Fork:
    return Fork(cells, chosen)


def cell(name: str | None, kind: str = "lstm_cell", roles: tuple[str, ...] = ROLES, *, frozen: bool = False) -> Sibling:
    return Sibling(() if name is None else (name,), roles, kind, frozen)


@pytest.mark.parametrize(
    ("forward", "backward"),
    [
        (of("both/forward_lstm/lstm_cell/", end=":0"), of("both/backward_lstm/lstm_cell_2/", end=":0")),
        (of("model/both/forward_lstm/lstm_cell/"), of("model/both/mine/gru_cell/")),
        (of("forward_net/forward_lstm_1/", end=":0"), of("forward_net/backward_lstm_1/", end=":0")),
        (of("forward_lstm_5_", ("W", "U", "b")), of("backward_lstm_5_", ("W", "U", "b"))),
        (of("forward_lstm_5_", ("W_i", "U_i", "b_i"), ":0"), of("backward_lstm_5_", ("W_i", "U_i", "b_i"), ":0")),
        (of("both/forward_backward_x/lstm_cell/"), of("both/backward_backward_x/lstm_cell/")),
        (of("both/forward_lstm/lstm_cell/"), of("lstm_9/lstm_cell/")),  # a backward layer that ran elsewhere first
        (of("second/forward_lstm/lstm_cell/"), of("first/other/lstm_cell/")),
    ],
)
def test_directions_in_either_order(forward: list[str], backward: list[str]) -> None:
    for listed in (forward + backward, backward + forward):
        assert of_part(listed, [directions("lstm", "other", 0)]) == forward
        assert of_part(listed, [directions("lstm", "other", 1)]) == backward


def test_directions_by_the_names_that_the_configuration_gives_them() -> None:
    one, other = of("both/forward_a/lstm_cell/"), of("both/forward_b/lstm_cell/")
    fork = Fork((Sibling(("forward_b",)), Sibling(("forward_a",))), 0)
    assert of_part(one + other, [fork]) == other


@pytest.mark.parametrize(
    "listed", [of("both/a/") + of("both/b/"), of("both/a/"), of("both/forward_a/") + of("both/forward_b/") + of("both/c/")]
)
def test_directions_that_no_name_tells_are_not_guessed(listed: list[str]) -> None:
    with pytest.raises(Unclear, match=r"direction|run forward"):
        of_part(listed, [directions("lstm", "lstm", 0)])


def test_cells_by_their_names_wherever_they_stand() -> None:
    listed = of("rnn/stacked_rnn_cells/a/") + of("rnn/stacked_rnn_cells/z/")
    assert of_part(listed, [stack(0, cell("z"), cell("a"))]) == of("rnn/stacked_rnn_cells/z/")
    assert of_part(listed, [stack(1, cell("z"), cell("a"))]) == of("rnn/stacked_rnn_cells/a/")


def test_cells_that_were_made_in_other_layers() -> None:
    listed = [*of("rnn/a/"), *of("rnn_1/stack/b/"), *of("rnn_2/stack/c/")]
    cells = [cell("c"), cell("a"), cell("b"), cell("a")]
    found = [of_part(listed, [stack(chosen, *cells)]) for chosen in range(len(cells))]
    assert found == [of("rnn_2/stack/c/"), of("rnn/a/"), of("rnn_1/stack/b/"), of("rnn/a/")]


def test_one_cell_twice_in_a_stack_is_stored_once() -> None:
    alone = of("rnn/stack/a/")
    assert of_part(alone, [stack(1, cell("a"), cell("a"))]) == alone
    assert of_part(of("rnn/stack/b/") + alone, [stack(2, cell("a"), cell("b"), cell("a"))]) == alone


def test_cells_in_one_scope_by_number_with_and_without_biases() -> None:
    listed = ["rnn/kernel_1:0", "rnn/recurrent_kernel_1:0", "rnn/bias:0", "rnn/kernel:0", "rnn/recurrent_kernel:0"]
    cells = (cell(None, roles=ROLES[:2]), cell("b"))
    assert of_part(listed, [stack(0, *cells)]) == ["rnn/kernel:0", "rnn/recurrent_kernel:0"]
    assert of_part(listed, [stack(1, *cells)]) == ["rnn/kernel_1:0", "rnn/recurrent_kernel_1:0", "rnn/bias:0"]
    with pytest.raises(Unclear, match="not those of 3 cells"):
        of_part(listed, [stack(0, *cells, cell(None))])


def test_cells_under_other_names_only_where_their_numbers_and_their_order_agree() -> None:
    zero, one, gru = of("rnn/lstm_cell_3/"), of("rnn/lstm_cell_10/"), of("rnn/gru_cell/")
    cells = (cell("lstm_cell"), cell("gru_cell_4", "gru_cell"), cell("lstm_cell_1"))
    for chosen, expected in enumerate((zero, gru, one)):
        assert of_part(zero + gru + one, [stack(chosen, *cells)]) == expected
    frozen = (cell("lstm_cell", frozen=True), *cells[1:])
    assert of_part(gru + one + zero, [stack(0, *frozen)]) == zero
    for listed, stacked in ((one + gru + zero, cells), (zero + gru + one, frozen), (zero + one + of("rnn/x/"), cells)):
        with pytest.raises(Unclear, match="the very model that was saved"):
            of_part(listed, [stack(0, *stacked)])


def test_stacks_inside_stacks_inside_directions() -> None:
    inner = Sibling(("inner",), ROLES * 2, "stacked_rnn_cells")
    listed = [
        name
        for part in ("backward_rnn/outer/c", "forward_rnn/outer/inner/b", "forward_rnn/outer/inner/a", "forward_rnn/outer/c")
        for name in of(f"both/{part}/")
    ]
    forks = [directions("rnn", "rnn", 0), stack(0, inner, cell("c")), stack(1, cell("a"), cell("b"))]
    assert of_part(listed, forks) == of("both/forward_rnn/outer/inner/b/")


def test_the_arrays_of_one_layer_by_what_they_are() -> None:
    assert of_part(["l/c/recurrent_kernel", "l/c/bias", "l/c/kernel"], []) == of("l/c/")
    assert of_part(["n/moving_mean", "n/beta", "n/moving_variance", "n/gamma"], []) == [
        "n/gamma",
        "n/beta",
        "n/moving_mean",
        "n/moving_variance",
    ]
    gates = ["l_W_i", "l_U_i", "l_b_i", "l_W_c", "l_U_c", "l_b_c"]
    assert of_part(gates, []) == gates


@pytest.mark.parametrize("listed", [["a/kernel", "b/kernel"], ["a/gamma", "a/kernel"]])
def test_arrays_of_several_layers_are_not_taken_for_those_of_one(listed: list[str]) -> None:
    with pytest.raises(Unclear, match="no one layer"):
        of_part(listed, [])


def test_names_that_say_nothing() -> None:
    assert not are_names(["param_0", "lstm_1/array_1:0"])
    assert are_names(["param_0", "lstm_1_W"])


def test_the_order_in_which_keras_takes_arrays() -> None:
    forward, backward, norm = of("f/"), of("b/"), ["n/gamma", "n/beta", "n/moving_mean", "n/moving_variance"]
    assert in_loading_order([(forward, True), (backward, False)]) == backward + forward
    assert in_loading_order([(forward, True), (backward, True)]) == forward + backward
    assert in_loading_order([(norm, False), (forward, False), (forward, False)]) == norm[:2] + forward + norm[2:]
