"""Networks against the oracle: whole and in chunks, in every implementation that supports them, final states too."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cellserve.models import reference
from cellserve.models.description.layers.cells import GruLayer, LstmLayer
from cellserve.models.description.layers.rows import FlattenLayer, LastStepLayer, RepeatVectorLayer
from cellserve.models.description.layers.stepwise import DenseLayer, EmbeddingLayer
from cellserve.models.errors import InvalidWeights, Unsupported
from cellserve.models.implementations import LABELS
from cellserve.models.network import Network
from cellserve.models.spec import InputSpec, ModelSpec
from cellserve.models.weights import Weights
from tests.compiled import PACKED
from tests.examples import examples
from tests.models.feeding import in_chunks
from tests.models.networks import (
    Case,
    agree,
    agree_with_oracle,
    batch_major,
    cases,
    chain,
    outputs_agree_with_oracle,
    public_states,
    random_weights,
    run_whole,
    supported,
    time_major,
)

modest = settings(deadline=None, max_examples=examples(15))


@modest
@given(cases(fusable=True))
def test_fusable_stacks_agree_with_the_oracle_in_all_implementations(case: Case) -> None:
    network = case.network()
    projected = any(isinstance(layer, LstmLayer) and layer.projection_units for layer in case.spec.recurrent_layers)
    assert supported(network) == ["0", "1", "2", "fused", *([] if projected else ["onnxruntime"]), *PACKED]
    for label in supported(network):
        agree_with_oracle(case, *run_whole(case, network, label), label)


@modest
@given(cases(fusable=False))
def test_any_stack_agrees_with_the_oracle_in_every_implementation_that_runs_it(case: Case) -> None:
    network = case.network()
    assert set(supported(network)) >= {"0", "1", "2"}
    for label in supported(network):
        agree_with_oracle(case, *run_whole(case, network, label), label)


@modest
@given(cases(fusable=True, causal=True) | cases(fusable=False, causal=True), st.data())
def test_cuts_into_chunks_leave_no_trace(case: Case, data: st.DataObject) -> None:
    network = case.network()
    for label in supported(network):
        agree_with_oracle(case, *in_chunks(case, network, partial(str, label), data), label)


@modest
@given(cases(fusable=True, causal=True) | cases(fusable=False, causal=True), st.data())
def test_states_of_rows_that_end_may_be_given_up_and_only_these(case: Case, data: st.DataObject) -> None:
    network = case.network()
    _, expected = case.expected()
    for label in supported(network):
        outputs, states = in_chunks(case, network, partial(str, label), data, ended_states=False)
        outputs_agree_with_oracle(case, outputs, label)
        for key, oracle in expected.items():
            kept = np.isfinite(states[key]).all(axis=1)
            assert kept[np.argmax(case.lengths)]
            agree(states[key][kept], oracle[kept], f"implementation {label}: state {key}")


@modest
@given(cases(fusable=True) | cases(fusable=False))
def test_whole_runs_answer_the_same_without_the_states_of_shorter_rows(case: Case) -> None:
    network = case.network()
    whole = np.array(case.lengths) == case.inputs.shape[1]
    for label in supported(network):
        outputs, states = run_whole(case, network, label, case.garbage_beyond(), ended_states=False)
        outputs_agree_with_oracle(case, outputs, label)
        for key, oracle in case.expected()[1].items():
            agree(states[key][whole], oracle[whole], f"implementation {label}: state {key}")


@modest
@given(cases(fusable=True, causal=True), st.data())
def test_any_chunk_may_run_under_any_implementation(case: Case, data: st.DataObject) -> None:
    network = case.network()
    labels = st.sampled_from(supported(network))
    agree_with_oracle(case, *in_chunks(case, network, lambda: data.draw(labels), data), "mixed")


@modest
@given(cases(fusable=True) | cases(fusable=False))
def test_what_stands_beyond_a_rows_length_never_matters(case: Case) -> None:
    network = case.network()
    for label in supported(network):
        agree_with_oracle(case, *run_whole(case, network, label, case.garbage_beyond()), label)


def lstm_gru_dense() -> ModelSpec:
    return chain(
        LstmLayer(name="lstm", inputs=("x",), units=4, return_sequences=True),
        GruLayer(name="gru", inputs=("lstm",), units=3, reset_after=True),
        DenseLayer(name="dense", inputs=("gru",), units=2),
    )


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("lengths", [[4, 4, 4], [4, 1, 3]])
def test_a_batch_mate_full_of_nan_is_invisible(label: str, lengths: list[int]) -> None:
    spec = lstm_gru_dense()
    network = Network(spec, random_weights(spec))
    inputs = torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(0))
    alone, _ = network.run((inputs[:, [0, 2]],), [lengths[0], lengths[2]], implementation=label)
    inputs[:, 1] = torch.nan
    (together,), state = network.run((inputs,), lengths, implementation=label)
    agree(together[[0, 2]].numpy(), alone[0].numpy(), "its neighbours")
    assert label == "onnxruntime" or together[1].isnan().all()  # whose tanh and sigmoid make a number of it
    assert state.data[[0, 2]].isfinite().all()


def test_advance_leaves_the_given_state_as_it_was() -> None:
    spec = lstm_gru_dense()
    network = Network(spec, random_weights(spec))
    state = network.initial_state(2)
    for label in supported(network):
        network.advance(torch.ones(3, 2, 3), [3, 2], state, implementation=label)
        assert not state.data.any()


def test_finish_answers_only_for_the_rows_asked_in_their_order() -> None:
    spec = lstm_gru_dense()
    network = Network(spec, random_weights(spec))
    inputs = torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(0))
    advance, _ = network.advance(inputs, [4, 2, 3], network.initial_state(3), implementation="2")
    (everyone,) = network.finish(advance, [0, 1, 2])
    (some,) = network.finish(advance, [2, 0])
    assert torch.equal(some, everyone[[2, 0]])


def test_the_input_itself_may_be_an_output() -> None:
    layer = LstmLayer(name="lstm", inputs=("x",), units=2)
    spec = chain(layer, outputs=("x", "lstm:c", "lstm"))
    network = Network(spec, random_weights(spec))
    inputs = torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(0))
    advance, state = network.advance(inputs, [4, 4], network.initial_state(2), implementation="2")
    fed, c, h = network.finish(advance, [1])
    assert torch.equal(fed, inputs[:, [1]])
    assert torch.equal(c, state.view(0, "c")[[1]])
    assert torch.equal(h, state.view(0, "h")[[1]])


def encoder_decoder() -> ModelSpec:
    """A vector input starts the encoder; the encoder's states start a decoder of four steps."""
    return ModelSpec(
        inputs=(InputSpec(name="x", width=3), InputSpec(name="h0", kind="vector", width=4)),
        layers=(
            GruLayer(name="encoder", inputs=("x", "h0"), units=4),
            RepeatVectorLayer(name="again", inputs=("encoder",), count=4),
            GruLayer(name="decoder", inputs=("again", "encoder:h"), units=4, return_sequences=True),
        ),
        outputs=("decoder", "encoder"),
    )


@pytest.mark.parametrize("label", ["0", "1", "2"])
def test_initial_states_from_the_graph_and_a_decoder(label: str) -> None:
    spec = encoder_decoder()
    network = Network(spec, random_weights(spec))
    generator = np.random.default_rng(0)
    x, h0 = generator.normal(size=(2, 5, 3)).astype(np.float32), generator.normal(size=(2, 4)).astype(np.float32)
    outputs, state = network.run((time_major(x), torch.tensor(h0)), [5, 3], implementation=label)
    expected, expected_states = reference.run(spec, random_weights(spec).arrays, (x, h0), [5, 3])
    for actual, oracle, name in zip(batch_major(spec, outputs), expected, spec.outputs):
        agree(actual, oracle, name)
    for key, oracle in expected_states.items():
        agree(public_states(state)[key], oracle, key)


def test_a_network_that_is_not_causal_refuses_to_be_advanced() -> None:
    spec = encoder_decoder()
    network = Network(spec, random_weights(spec))
    assert not network.causal
    with pytest.raises(Unsupported, match="cannot be advanced chunk by chunk: it has 2 inputs"):
        network.advance(torch.zeros(2, 1, 3), [2], network.initial_state(1), implementation="2")


def test_an_implementation_that_cannot_run_it_says_which_layer_and_why() -> None:
    spec = chain(GruLayer(name="old", inputs=("x",), units=2))
    network = Network(spec, random_weights(spec))
    assert network.default_implementation == next(iter(PACKED), "onnxruntime")
    assert network.implementations["2"] is None
    with pytest.raises(Unsupported, match="'fused' cannot run layer 'old': its reset gate acts before the product"):
        network.run((torch.zeros(2, 1, 3),), [2], implementation="fused")
    with pytest.raises(Unsupported, match="no implementation 'quantum'; there are 0, 1, 2, fused, onnxruntime, packed"):
        network.run((torch.zeros(2, 1, 3),), [2], implementation="quantum")


def test_a_withdrawn_implementation_is_refused_and_no_longer_the_default() -> None:
    spec = lstm_gru_dense()
    network = Network(spec, random_weights(spec))
    assert network.default_implementation == next(iter(PACKED), "onnxruntime")
    network.withdraw("packed", "so are these")
    assert network.default_implementation == "onnxruntime"
    network.withdraw("onnxruntime", "its numbers are wrong on this device")
    assert network.default_implementation == "fused"
    with pytest.raises(Unsupported, match="its numbers are wrong on this device"):
        network.run((torch.zeros(2, 1, 3),), [2], implementation="onnxruntime")
    network.withdraw("fused", "this too")
    assert network.default_implementation == "2"
    network.withdraw("2", "and this")
    assert network.offered == ["0", "1"]


def test_a_network_without_recurrence_is_advanced_all_the_same() -> None:
    spec = chain(DenseLayer(name="dense", inputs=("x",), units=2), LastStepLayer(name="last", inputs=("dense",)))
    network = Network(spec, random_weights(spec))
    inputs = torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(0))
    for label in supported(network):
        advance, state = network.advance(inputs, [4, 2], network.initial_state(2), implementation=label)
        (last,) = network.finish(advance, [0, 1])
        ((whole,), _) = network.run((inputs,), [4, 2], implementation=label)
        assert torch.equal(last, whole)
        assert state.data.shape == (2, 0)


@pytest.mark.parametrize("lengths", [[0, 2], [3, 2]])
def test_lengths_out_of_range_are_refused(lengths: list[int]) -> None:
    spec = lstm_gru_dense()
    network = Network(spec, random_weights(spec))
    with pytest.raises(ValueError, match="row lengths must be between 1 and the 2 steps"):
        network.advance(torch.zeros(2, 2, 3), lengths, network.initial_state(2), implementation="2")


def test_weights_that_do_not_fit_are_refused() -> None:
    spec = lstm_gru_dense()
    with pytest.raises(InvalidWeights, match=r"lstm.kernel \[3, 16\] is missing"):
        Network(spec, Weights.of({}))


@pytest.mark.parametrize(
    "spec",
    [
        lstm_gru_dense(),
        encoder_decoder(),
        ModelSpec(
            inputs=(InputSpec(name="x", kind="ids", time_steps=5),),
            layers=(
                EmbeddingLayer(name="embedding", inputs=("x",), vocabulary=4, units=2),
                FlattenLayer(name="flat", inputs=("embedding",)),
            ),
            outputs=("flat",),
        ),
    ],
    ids=["causal", "two inputs", "flatten"],
)
def test_every_network_can_be_warmed_up(spec: ModelSpec) -> None:
    network = Network(spec, random_weights(spec))
    for label in supported(network):
        network.warm_up(label)
