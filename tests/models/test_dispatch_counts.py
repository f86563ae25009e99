"""That implementations 0, 1 and 2 really arrange their products as they say, seen by what reaches torch's dispatcher."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cellserve.models.description.layers.cells import GruLayer, JzsLayer, LstmLayer, SimpleDeepRnnLayer, SimpleRnnLayer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.network import Network
from tests.models.networks import chain, random_weights

PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "addbmm", "matmul", "linear", "mv", "addmv", "dot")
STEPS = 6


class Dispatched(TorchDispatchMode):
    """Counts operators by their name."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))

    @property
    def products(self) -> int:
        return sum(self.calls[name] for name in PRODUCTS)


def dispatched(
    layer: RecurrentLayer,
    label: str,
    lengths: list[int],
    mask: torch.Tensor | None = None,
    *,
    ended_states: bool = True,
    outputs: tuple[str, ...] = (),
) -> Dispatched:
    spec = chain(layer, outputs=outputs)
    network = Network(spec, random_weights(spec))
    inputs, state = torch.ones(STEPS, len(lengths), 3), network.initial_state(len(lengths))
    with Dispatched() as counted:
        network.advance(inputs, lengths, state, mask=mask, implementation=label, ended_states=ended_states)
    return counted


LAYERS = {
    "lstm": LstmLayer(name="lstm", inputs=("x",), units=4),
    "lstm without bias": LstmLayer(name="lstm", inputs=("x",), units=4, use_bias=False),
    "gru reset before": GruLayer(name="gru", inputs=("x",), units=4),
    "gru reset after": GruLayer(name="gru", inputs=("x",), units=4, reset_after=True),
    "simple_rnn": SimpleRnnLayer(name="rnn", inputs=("x",), units=4),
}
ONLY_LOOPED = {  # no kernel of torch or ONNX knows them
    "jzs1": JzsLayer(name="jzs", inputs=("x",), units=4, variant=1),
    "jzs2": JzsLayer(name="jzs", inputs=("x",), units=4, variant=2),
    "jzs3": JzsLayer(name="jzs", inputs=("x",), units=4, variant=3),
    "simple_deep_rnn": SimpleDeepRnnLayer(name="deep", inputs=("x",), units=4, depth=3),
    "lstm that resets": LstmLayer(name="lstm", inputs=("x",), units=4, mask_rule="reset"),
}


@pytest.mark.parametrize(
    ("name", "label", "per_chunk", "per_step"),
    [
        ("lstm", "0", 4, 4),
        ("lstm", "1", 0, 8),
        ("lstm", "2", 0, 2),
        ("lstm without bias", "0", 4, 4),
        ("lstm without bias", "1", 0, 8),
        ("lstm without bias", "2", 0, 2),
        ("gru reset before", "0", 3, 3),
        ("gru reset before", "1", 0, 6),
        ("gru reset before", "2", 0, 3),
        ("gru reset after", "0", 3, 3),
        ("gru reset after", "1", 0, 6),
        ("gru reset after", "2", 0, 2),
        ("simple_rnn", "0", 1, 1),
        ("simple_rnn", "1", 0, 2),
        ("simple_rnn", "2", 0, 2),
        ("jzs1", "0", 3, 2),
        ("jzs1", "1", 0, 5),
        ("jzs1", "2", 0, 3),
        ("jzs2", "0", 3, 3),
        ("jzs2", "1", 0, 6),
        ("jzs2", "2", 0, 3),
        ("jzs3", "0", 3, 3),
        ("jzs3", "1", 0, 6),
        ("jzs3", "2", 0, 4),
        ("simple_deep_rnn", "0", 1, 3),
        ("simple_deep_rnn", "1", 0, 4),
        ("simple_deep_rnn", "2", 0, 4),
        ("lstm that resets", "0", 4, 4),
        ("lstm that resets", "1", 0, 8),
        ("lstm that resets", "2", 0, 2),
    ],
)
@pytest.mark.parametrize("lengths", [[STEPS, STEPS], [STEPS, 2]], ids=["full", "ragged"])
def test_products_of_a_chunk(name: str, label: str, per_chunk: int, per_step: int, lengths: list[int]) -> None:
    counted = dispatched((LAYERS | ONLY_LOOPED)[name], label, lengths)
    assert counted.products == per_chunk + per_step * STEPS


@pytest.mark.parametrize(("label", "per_chunk", "per_step"), [("0", 4, 5), ("1", 0, 9), ("2", 0, 3)])
def test_a_projection_is_one_more_product_a_step(label: str, per_chunk: int, per_step: int) -> None:
    layer = LstmLayer(name="lstm", inputs=("x",), units=4, projection_units=2)
    assert dispatched(layer, label, [STEPS]).products == per_chunk + per_step * STEPS


def test_rows_of_full_length_are_selected_from_nowhere() -> None:
    assert dispatched(LAYERS["lstm"], "2", [STEPS, STEPS]).calls["where"] == 0


def test_only_the_ragged_end_is_selected_step_by_step() -> None:
    states = len(LAYERS["lstm"].state_widths)
    assert dispatched(LAYERS["lstm"], "2", [STEPS, STEPS - 2]).calls["where"] == 2 * states


@pytest.mark.parametrize(("name", "operator"), [("lstm", "lstm"), ("gru reset after", "gru"), ("simple_rnn", "rnn_tanh")])
@pytest.mark.parametrize("lengths", [[STEPS, STEPS], [STEPS, 2]], ids=["full", "ragged"])
def test_fused_is_torchs_own_operator_once(name: str, operator: str, lengths: list[int]) -> None:
    counted = dispatched(LAYERS[name], "fused", lengths)
    assert counted.calls[operator] == 1
    assert counted.products == 0


PACKED = "_pack_padded_sequence"
A_LITTLE_SHORT = [STEPS, STEPS - 1, STEPS]


@pytest.mark.parametrize("ended_states", [True, False])
@pytest.mark.parametrize("name", ["gru reset after", "simple_rnn"])
def test_fused_packs_no_layer_whose_state_is_its_output(name: str, ended_states: bool) -> None:
    assert dispatched(LAYERS[name], "fused", A_LITTLE_SHORT, ended_states=ended_states).calls[PACKED] == 0


def test_fused_packs_an_lstm_only_for_the_states_of_rows_that_end() -> None:
    assert dispatched(LAYERS["lstm"], "fused", A_LITTLE_SHORT).calls[PACKED] == 1
    assert dispatched(LAYERS["lstm"], "fused", A_LITTLE_SHORT, ended_states=False).calls[PACKED] == 0


def test_fused_packs_an_lstm_whose_cell_is_an_output() -> None:
    read = dispatched(LAYERS["lstm"], "fused", A_LITTLE_SHORT, ended_states=False, outputs=("lstm", "lstm:c"))
    assert read.calls[PACKED] == 1


@pytest.mark.parametrize("name", ["lstm", "gru reset after", "simple_rnn"])
def test_fused_packs_rather_than_compute_mostly_padding(name: str) -> None:
    assert dispatched(LAYERS[name], "fused", [STEPS, 1, 1, 1], ended_states=False).calls[PACKED] == 1


@pytest.mark.parametrize(("masked_row", "packs"), [(0, 1), (1, 0)], ids=["a row that goes on", "a row that ends"])
def test_fused_packs_masked_rows_that_become_shorter_and_go_on(masked_row: int, packs: int) -> None:
    mask = torch.ones(STEPS, 2, dtype=torch.bool)
    mask[1, masked_row] = False
    lengths = [STEPS, STEPS] if masked_row == 0 else [STEPS, STEPS - 1]
    assert dispatched(LAYERS["lstm"], "fused", lengths, mask, ended_states=False).calls[PACKED] == packs


def test_fused_under_a_mask_is_still_one_operator() -> None:
    mask = torch.tensor([[True, False]] * (STEPS - 1) + [[False, True]])
    counted = dispatched(LAYERS["lstm"], "fused", [STEPS, STEPS], mask)
    assert counted.calls["lstm"] == 1
    assert counted.products == 0


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("lengths", [[STEPS, STEPS], [STEPS, 2]], ids=["full", "ragged"])
@pytest.mark.parametrize("label", ["onnxruntime", "packed"])
def test_kernels_in_host_memory_leave_no_product_to_torch(name: str, lengths: list[int], label: str) -> None:
    assert dispatched(LAYERS[name], label, lengths).products == 0
