"""One call for a chunk gives the oracle's numbers, whatever the cuts and the company; what it cannot say is left to others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cellserve.models.description.causal_plan import causal_plan
from cellserve.models.description.layers.cells import GruLayer, LstmLayer, SimpleRnnLayer
from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.rows import LastStepLayer, ReverseLayer
from cellserve.models.description.layers.stepwise import (
    ActivationLayer,
    BatchNormalizationLayer,
    DenseLayer,
    DropoutLayer,
    EmbeddingLayer,
    LayerNormalizationLayer,
    MaskingLayer,
)
from cellserve.models.errors import Unsupported
from cellserve.models.implementations.onnxruntime.chunk import obstacle
from cellserve.models.network import Network
from cellserve.models.spec import InputSpec, LayerSpec, ModelSpec
from tests.examples import examples
from tests.models.drawn_layers import MASK_VALUE, MERGES, VOCABULARY
from tests.models.feeding import in_chunk_calls
from tests.models.networks import Case, agree_with_oracle, chain, random_weights

IDS = InputSpec(name="x", kind="ids")


def lstm(name: str, source: str, **options: object) -> LstmLayer:
    return LstmLayer.model_validate({"name": name, "inputs": (source,), "units": 4, "return_sequences": True, **options})


def merged(mode: str) -> ModelSpec:
    joined = MergeLayer(name="merge", inputs=("a", "b", "a") if mode != "subtract" else ("a", "b"), mode=mode)
    return chain(lstm("a", "x"), lstm("b", "x"), joined, outputs=("merge",))


SPECS: dict[str, ModelSpec] = {
    "vector": chain(LstmLayer(name="a", inputs=("x",), units=4), DenseLayer(name="d", inputs=("a",), units=2)),
    "stack, sequence and vector and states": chain(
        lstm("a", "x"),
        GruLayer(name="b", inputs=("a",), units=3, reset_after=True, return_sequences=True),
        SimpleRnnLayer(name="c", inputs=("b",), units=5, activation="relu"),
        DenseLayer(name="each", inputs=("b",), units=2, activation="softmax"),
        DenseLayer(name="end", inputs=("c",), units=2, activation="sigmoid"),
        outputs=("each", "end", "a:c", "b:h"),
    ),
    "last step": chain(
        lstm("a", "x", peepholes=True),
        LastStepLayer(name="last", inputs=("a",)),
        DenseLayer(name="d", inputs=("last",), units=2, use_bias=False),
    ),
    "slow activations": chain(
        lstm("a", "x", units=200, recurrent_activation="hard_sigmoid"),
        GruLayer(
            name="b", inputs=("a",), units=300, reset_after=False, recurrent_activation="hard_sigmoid", return_sequences=True
        ),
        lstm("c", "b", recurrent_activation="hard_sigmoid_relu6", peepholes=True),
        SimpleRnnLayer(name="d", inputs=("c",), units=600, activation="softsign"),
        outputs=("a", "d", "b:h", "a:c"),
    ),
    "around the recurrence": chain(
        DenseLayer(name="before", inputs=("x",), units=4, activation="leaky_relu"),
        BatchNormalizationLayer(name="norm", inputs=("before",)),
        lstm("a", "norm"),
        DropoutLayer(name="drop", inputs=("a",), rate=0.5),
        DropoutLayer(name="scaled", inputs=("drop",), rate=0.5, scale=0.5),
        ActivationLayer(name="bent", inputs=("scaled",), activation="hard_sigmoid"),
        BatchNormalizationLayer(name="norm2", inputs=("bent",), center=False, scale=False),
        GruLayer(name="b", inputs=("norm2",), units=3),
        BatchNormalizationLayer(name="head", inputs=("b",)),
        outputs=("head", "bent"),
    ),
    "ids": ModelSpec(
        inputs=(IDS,),
        layers=(
            EmbeddingLayer(name="e", inputs=("x",), vocabulary=VOCABULARY, units=3),
            GruLayer(name="a", inputs=("e",), units=4, use_bias=False, return_sequences=True),
            MergeLayer(name="skip", inputs=("e", "a"), mode="concat"),
        ),
        outputs=("skip", "a:h"),
    ),
    "ids that mask": ModelSpec(
        inputs=(IDS,),
        layers=(
            EmbeddingLayer(name="e", inputs=("x",), vocabulary=VOCABULARY, units=3, mask_zero=True),
            lstm("a", "e", mask_rule="repeat"),
            lstm("b", "a", mask_rule="zero", return_sequences=False),
        ),
        outputs=("a", "b"),
    ),
    "masking": chain(MaskingLayer(name="m", inputs=("x",), mask_value=MASK_VALUE), lstm("a", "m"), outputs=("m", "a")),
    "names like those of helpers": chain(
        DenseLayer(name="a", inputs=("x",), units=3),
        DenseLayer(name="a/kernel", inputs=("a",), units=3, activation="tanh"),
        lstm("a/sum", "a/kernel"),
        lstm("state/0.h", "a/sum"),
        lstm("lasts", "state/0.h"),
        LastStepLayer(name="a/product", inputs=("lasts",)),
        outputs=("a/product", "a/sum", "lasts:h"),
    ),
    "no recurrence": chain(
        DenseLayer(name="d", inputs=("x",), units=2, activation="elu"), LastStepLayer(name="last", inputs=("d",))
    ),
    **{f"merge, {mode}": merged(mode) for mode in MERGES},
}


def drawn(spec: ModelSpec, lengths: tuple[int, ...], seed: int) -> Case:
    generator = np.random.default_rng(seed)
    rows, steps = len(lengths), max(lengths)
    if spec.inputs[0].kind == "ids":
        inputs = generator.integers(1, VOCABULARY, (rows, steps))
    else:
        inputs = generator.normal(size=(rows, steps, spec.inputs[0].width)).astype(np.float32)
    widths = {f"{i}.{name}": width for i, one in enumerate(spec.recurrent_layers) for name, width in one.state_widths.items()}
    state = {key: generator.normal(scale=0.5, size=(rows, width)).astype(np.float32) for key, width in widths.items()}
    return Case(spec, random_weights(spec, 3), inputs, lengths, None, state)


CALLED = ("onnxruntime", "packed")
NETWORKS = {name: Network(spec, random_weights(spec, 3)) for name, spec in SPECS.items()}


@pytest.mark.parametrize("label", CALLED)
@pytest.mark.parametrize("name", SPECS)
@settings(max_examples=examples(6))
@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=6).map(tuple), seed=st.integers(0, 99), data=st.data())
def test_calls_give_the_numbers_of_the_oracle(
    name: str, label: str, lengths: tuple[int, ...], seed: int, data: st.DataObject
) -> None:
    case = drawn(SPECS[name], lengths, seed)
    agree_with_oracle(case, *in_chunk_calls(case, NETWORKS[name], label, data), "in calls")


@pytest.mark.parametrize("name", SPECS)
def test_the_library_finds_nothing_to_remark(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    Network(SPECS[name], random_weights(SPECS[name], 3))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("label", CALLED)
def test_a_state_that_met_a_step_says_so(label: str) -> None:
    call, layout = NETWORKS["ids"].chunk_call(label), NETWORKS["ids"].state_layout
    assert call is not None
    answer = call(np.array([[1, 0], [2, 3]]), [1, 2], np.zeros((2, layout.width), np.float32), [])
    seen = next(columns.start for columns in layout.columns if not columns.public)
    assert answer.state[:, seen].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (MaskingLayer(name="m", inputs=("between",)), "layer 'm' reads another layer"),
        (LayerNormalizationLayer(name="n", inputs=("x",)), "layer 'n' is a layer_normalization"),
        (DenseLayer(name="d", inputs=("x",), units=3, activation="gelu"), "layer 'd' has the activation gelu"),
        (ReverseLayer(name="r", inputs=("x",)), "layer 'r' turns the sequence round"),
    ],
)
def test_what_one_run_cannot_say_goes_layer_by_layer(layer: LayerSpec, reason: str) -> None:
    between = ActivationLayer(name="between", inputs=("x",), activation="tanh")
    spec = chain(between, layer, LstmLayer(name="a", inputs=(layer.name,), units=2))
    assert obstacle(spec, causal_plan(spec)) == reason
    assert Network(spec, random_weights(spec)).chunk_call("onnxruntime") is None


def test_ids_that_are_an_output_go_layer_by_layer() -> None:
    layers = (EmbeddingLayer(name="e", inputs=("x",), vocabulary=5, units=3), LstmLayer(name="a", inputs=("e",), units=4))
    spec = ModelSpec(inputs=(IDS,), layers=layers, outputs=("a", "x"))
    assert obstacle(spec, causal_plan(spec)) == "an output is ids"
    network = Network(spec, random_weights(spec))
    made, _ = network.advance(torch.tensor([[1], [4]]), [2], network.initial_state(1), implementation="onnxruntime")
    assert network.finish(made, [0])[1].tolist() == [[1], [4]]


def test_a_layer_that_masks_its_own_inputs_goes_layer_by_layer() -> None:
    """Where there is a mask at all: then it adds the steps whose inputs are all zero."""
    masking = MaskingLayer(name="m", inputs=("x",), mask_value=MASK_VALUE)
    spec = chain(masking, LstmLayer(name="a", inputs=("m",), units=2, mask_rule="zero_or_empty"))
    assert obstacle(spec, causal_plan(spec)) == "layer 'a' masks steps of its own inputs"
    alone = chain(LstmLayer(name="a", inputs=("x",), units=2, mask_rule="zero_or_empty"))
    assert obstacle(alone, causal_plan(alone)) is None


@pytest.mark.parametrize(
    ("name", "steps", "refused"),
    [
        ("ids that mask", np.array([1, 2, 3]), False),
        ("ids that mask", np.array([1, 0, 3]), True),
        ("masking", np.array([[MASK_VALUE, 1, 2], [3, 4, 5]], np.float32), False),
        ("masking", np.array([[3, 4, 5], [MASK_VALUE] * 3], np.float32), True),
        ("ids", np.array([0, 0]), False),
    ],
)
@pytest.mark.parametrize("label", CALLED)
def test_steps_that_a_layer_masks_are_refused(name: str, steps: np.ndarray, refused: bool, label: str) -> None:
    call = NETWORKS[name].chunk_call(label)
    assert call is not None
    assert call.refuses(steps) == refused


def test_only_kernels_in_host_memory_have_this_way() -> None:
    network = NETWORKS["vector"]
    assert [network.chunk_call(label) for label in ("0", "1", "2", "fused")] == [None] * 4
    with pytest.raises(Unsupported, match="no implementation 'quantum'"):
        network.chunk_call("quantum")
    legacy = chain(lstm("a", "x", projection_units=2))
    with pytest.raises(Unsupported, match="has a projection"):
        Network(legacy, random_weights(legacy)).chunk_call("onnxruntime")


@pytest.mark.parametrize("label", CALLED)
def test_it_is_the_network_s_own_answer(label: str) -> None:
    """Not only within the tolerance of the oracle: both ways of one implementation agree closely."""
    network, case = NETWORKS["vector"], drawn(SPECS["vector"], (5, 3), 1)
    call = network.chunk_call(label)
    assert call is not None
    start = case.start(network)
    answer = call(case.inputs, (5, 3), start.data.numpy(), (1, 0))
    made, _ = network.advance(torch.tensor(case.inputs.swapaxes(0, 1)), (5, 3), start, implementation=label)
    np.testing.assert_allclose(answer.outputs[0], network.finish(made, (1, 0))[0].numpy(), atol=1e-6)
