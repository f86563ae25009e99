"""Implementations of one layer against each other: refusals, mask rules, ragged ends, the state that `seen` carries."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cellserve.models.description.layers.cells import GruLayer, LstmLayer, SimpleDeepRnnLayer, SimpleRnnLayer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.graph import Graph
from cellserve.models.implementations import IMPLEMENTATIONS, LABELS
from cellserve.models.implementations.kernel import RecurrentKernel
from cellserve.models.numerics.row_lengths import RowLengths
from tests.examples import examples
from tests.models.drawn_layers import RULES, recurrent_layers
from tests.models.networks import agree, chain, random_weights

CPU = torch.device("cpu")
WIDTH = 3


def kernels(layer: RecurrentLayer) -> dict[str, RecurrentKernel]:
    spec = chain(layer)
    labels = [label for label in LABELS if IMPLEMENTATIONS[label].unsupported(layer) is None]
    graph = Graph.prepare(spec, random_weights(spec), CPU)
    return {label: graph.kernels[label, layer.name] for label in labels}


def fresh(layer: RecurrentLayer, rows: int, seen: float, generator: torch.Generator) -> dict[str, torch.Tensor]:
    states = {name: torch.randn(rows, width, generator=generator) for name, width in layer.state_widths.items()}
    return {**states, "seen": torch.full((rows, 1), seen)}


def test_labels_in_the_order_that_people_read_them() -> None:
    assert LABELS == ("0", "1", "2", "fused", "onnxruntime", "packed")


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (LstmLayer(name="l", inputs=("x",), units=2, activation="relu"), "its activation is relu; torch's lstm kernel has tanh"),
        (
            LstmLayer(name="l", inputs=("x",), units=2, recurrent_activation="hard_sigmoid"),
            "its recurrent_activation is hard_sigmoid; torch's lstm kernel has sigmoid",
        ),
        (
            LstmLayer(name="l", inputs=("x",), units=2, projection_units=2),
            "its projection_units are not fewer than its 2 units, as torch's lstm kernel needs",
        ),
        (GruLayer(name="l", inputs=("x",), units=2), "its reset gate acts before the product; torch's gru kernel has it after"),
        (
            GruLayer(name="l", inputs=("x",), units=2, reset_after=True, activation="linear"),
            "its activation is linear; torch's gru kernel has tanh",
        ),
        (
            SimpleRnnLayer(name="l", inputs=("x",), units=2, activation="sigmoid"),
            "its activation is sigmoid; torch's simple_rnn kernel has tanh or relu",
        ),
    ],
)
def test_fused_refuses_what_the_loops_run_and_says_why(layer: RecurrentLayer, reason: str) -> None:
    refusals = {label: IMPLEMENTATIONS[label].unsupported(layer) for label in ("0", "1", "2", "fused")}
    assert refusals == {"0": None, "1": None, "2": None, "fused": reason}


@pytest.mark.parametrize(
    ("extras", "reason"),
    [
        ({"peepholes": True}, "it has peepholes; torch's lstm kernel has none"),
        ({"cell_clip": 1.0}, "it clips its state; torch's lstm kernel does not"),
        ({"gate_clip": 1.0}, "it clips its gates; torch's lstm kernel does not"),
        ({"projection_units": 1, "projection_clip": 1.0}, "it clips its state; torch's lstm kernel does not"),
    ],
)
def test_fused_has_neither_peepholes_nor_clips(extras: dict[str, object], reason: str) -> None:
    layer = LstmLayer(name="l", inputs=("x",), units=2, **extras)
    assert IMPLEMENTATIONS["fused"].unsupported(layer) == reason


@settings(deadline=None, max_examples=examples(40))
@given(data=st.data(), layer=recurrent_layers("l", "x", fusable=True, causal=True), seen=st.sampled_from((0.0, 1.0)))
def test_all_agree_under_masks_with_ragged_ends(data: st.DataObject, layer: RecurrentLayer, seen: float) -> None:
    lengths = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    steps = max(lengths) + data.draw(st.integers(0, 1))
    flags = st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths))
    mask = torch.tensor(data.draw(st.lists(flags, min_size=steps, max_size=steps)))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    inputs, ends = torch.randn(steps, len(lengths), WIDTH, generator=generator), RowLengths(lengths, steps, CPU)
    inputs[~mask] = torch.nan
    state = fresh(layer, len(lengths), seen, generator)
    (_, first), *others = [(label, kernel(inputs, ends, mask, state)) for label, kernel in kernels(layer).items()]
    for label, (outputs, new) in others:
        agree(ends.clean(outputs).numpy(), ends.clean(first[0]).numpy(), f"outputs of {label}")
        for name in (*layer.state_widths, "seen"):
            agree(new[name].numpy(), first[1][name].numpy(), f"state {name} of {label}")


@settings(deadline=None, max_examples=examples(40))
@given(data=st.data(), layer=recurrent_layers("l", "x", fusable=True, causal=True), masked=st.booleans())
def test_rows_of_full_length_keep_their_states_beside_rows_whose_states_are_given_up(
    data: st.DataObject, layer: RecurrentLayer, masked: bool
) -> None:
    lengths = [6, *data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))]
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    inputs, ends = torch.randn(6, len(lengths), WIDTH, generator=generator), RowLengths(lengths, 6, CPU)
    inputs[~ends.inside] = torch.nan
    mask = torch.rand(6, len(lengths), generator=generator) < 0.7 if masked else None
    state, whole = fresh(layer, len(lengths), 0.0, generator), [row for row, length in enumerate(lengths) if length == 6]
    for label, kernel in kernels(layer).items():
        outputs, new = kernel(inputs, ends, mask, state)
        cheap, partly = kernel(inputs, ends, mask, state, ended_states=False)
        agree(ends.clean(cheap).numpy(), ends.clean(outputs).numpy(), f"outputs of {label}")
        for name in layer.state_widths:
            agree(partly[name][whole].numpy(), new[name][whole].numpy(), f"state {name} of {label}")
        for name in ("h", "seen"):
            agree(partly[name].numpy(), new[name].numpy(), f"{name} of {label}, every row")


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seen", [0.0, 1.0])
def test_what_masked_steps_show(label: str, rule: str, seen: float) -> None:
    layer = LstmLayer(name="l", inputs=("x",), units=4, mask_rule=rule)
    generator = torch.Generator().manual_seed(1)
    state = fresh(layer, 2, seen, generator)
    mask = torch.tensor([[False, False], [True, False], [False, False]])
    outputs, new = kernels(layer)[label](torch.randn(3, 2, WIDTH, generator=generator), RowLengths([3, 3], 3, CPU), mask, state)
    before = state["h"] if rule == "repeat_from_state" or (rule == "repeat" and seen) else torch.zeros_like(state["h"])
    assert torch.equal(outputs[0], before)
    assert torch.equal(outputs[2, 0], torch.zeros(4) if rule == "zero" else outputs[1, 0])
    assert torch.equal(outputs[1:, 1], before[1].expand(2, -1))
    assert torch.equal(new["h"][0], outputs[1, 0])
    assert torch.equal(new["h"][1], state["h"][1])
    assert torch.equal(new["c"][1], state["c"][1])
    assert new["seen"].flatten().tolist() == [1.0, seen]


LOOPED = ("0", "1", "2")


@pytest.mark.parametrize("label", LOOPED)
def test_a_masked_step_that_resets_is_shown_and_then_forgotten(label: str) -> None:
    """Keras 0.1.2 to 0.2.0: each run of steps after a masked one answers as if it were the beginning."""
    layer = LstmLayer(name="l", inputs=("x",), units=4, mask_rule="reset")
    kernel, generator = kernels(layer)[label], torch.Generator().manual_seed(4)
    inputs, state = torch.randn(5, 1, WIDTH, generator=generator), fresh(layer, 1, 0.0, generator)
    mask = torch.tensor([[True], [True], [False], [True], [False]])
    outputs, new = kernel(inputs, RowLengths([5], 5, CPU), mask, state)
    before, _ = kernel(inputs[:3], RowLengths([3], 3, CPU), None, state)
    blank = {name: torch.zeros_like(value) for name, value in state.items()}
    after, _ = kernel(inputs[3:], RowLengths([2], 2, CPU), None, blank)
    agree(outputs.numpy(), torch.cat([before, after]).numpy(), "outputs")
    assert not new["h"].any()
    assert not new["c"].any()


@pytest.mark.parametrize("label", LOOPED)
def test_a_reset_forgets_only_the_masked_step_of_a_layer_that_looks_further_back(label: str) -> None:
    layer = SimpleDeepRnnLayer(name="l", inputs=("x",), units=4, depth=3, mask_rule="reset")
    kernel, generator = kernels(layer)[label], torch.Generator().manual_seed(5)
    inputs = torch.randn(3, 1, WIDTH, generator=generator)
    state = {name: torch.zeros(1, width) for name, width in layer.state_widths.items()} | {"seen": torch.zeros(1, 1)}
    _, new = kernel(inputs, RowLengths([3], 3, CPU), torch.tensor([[True], [False], [True]]), state)
    assert [float(new[name]) for name in ("valid", "valid_2", "valid_3")] == [1.0, 0.0, 1.0]
    assert not new["h_2"].any()
    assert new["h_3"].any()


@pytest.mark.parametrize("label", LABELS)
def test_a_step_of_zeros_counts_as_masked_only_where_there_is_a_mask(label: str) -> None:
    """Keras 0.3.0 and 0.3.1."""
    layer = LstmLayer(name="l", inputs=("x",), units=4, mask_rule="zero_or_empty")
    kernel, generator = kernels(layer)[label], torch.Generator().manual_seed(6)
    inputs, state = torch.randn(4, 1, WIDTH, generator=generator), fresh(layer, 1, 0.0, generator)
    inputs[1] = 0
    ends = RowLengths([4], 4, CPU)
    masked, _ = kernel(inputs, ends, torch.ones(4, 1, dtype=torch.bool), state)
    assert not masked[1].any()
    without, _ = kernel(inputs[[0, 2, 3]], RowLengths([3], 3, CPU), None, state)
    agree(masked[[0, 2, 3]].numpy(), without.numpy(), "the steps that count")
    plain, _ = kernel(inputs, ends, None, state)
    assert plain[1].any()


@pytest.mark.parametrize("label", LABELS)
def test_a_mask_may_change_nothing(label: str) -> None:
    layer = GruLayer(name="l", inputs=("x",), units=4, reset_after=True, mask_rule="ignore")
    kernel, generator = kernels(layer)[label], torch.Generator().manual_seed(7)
    inputs, state = torch.randn(4, 2, WIDTH, generator=generator), fresh(layer, 2, 0.0, generator)
    ends = RowLengths([4, 3], 4, CPU)
    masked, plain = kernel(inputs, ends, torch.zeros(4, 2, dtype=torch.bool), state), kernel(inputs, ends, None, state)
    agree(ends.clean(masked[0]).numpy(), ends.clean(plain[0]).numpy(), "outputs")
    agree(masked[1]["h"].numpy(), plain[1]["h"].numpy(), "h")


@pytest.mark.parametrize("label", LABELS)
def test_a_mask_of_all_true_is_no_mask(label: str) -> None:
    layer = GruLayer(name="l", inputs=("x",), units=4, reset_after=True)
    generator = torch.Generator().manual_seed(2)
    inputs, ends, state = (
        torch.randn(5, 3, WIDTH, generator=generator),
        RowLengths([5, 2, 4], 5, CPU),
        fresh(layer, 3, 0, generator),
    )
    kernel = kernels(layer)[label]
    plain, masked = kernel(inputs, ends, None, state), kernel(inputs, ends, torch.ones(5, 3, dtype=torch.bool), state)
    agree(ends.clean(masked[0]).numpy(), ends.clean(plain[0]).numpy(), "outputs")
    agree(masked[1]["h"].numpy(), plain[1]["h"].numpy(), "h")
    assert plain[1]["seen"].flatten().tolist() == masked[1]["seen"].flatten().tolist() == [1, 1, 1]


@pytest.mark.parametrize("label", ["fused", "onnxruntime", "packed"])
def test_long_rows_stay_in_order_under_a_mask(label: str) -> None:
    layer = LstmLayer(name="l", inputs=("x",), units=3)
    generator = torch.Generator().manual_seed(3)
    steps, lengths = 400, [400, 1, 250]
    mask = torch.rand(steps, 3, generator=generator) < 0.5
    mask[:, 1] = False
    inputs, ends, state = (
        torch.randn(steps, 3, WIDTH, generator=generator),
        RowLengths(lengths, steps, CPU),
        fresh(layer, 3, 0, generator),
    )
    prepared = kernels(layer)
    (outputs, new), (joined, joined_state) = (prepared[one](inputs, ends, mask, state) for one in (label, "2"))
    agree(ends.clean(outputs).numpy(), ends.clean(joined).numpy(), "outputs")
    for name in ("h", "c", "seen"):
        agree(new[name].numpy(), joined_state[name].numpy(), name)
