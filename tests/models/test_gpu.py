"""The same agreement with the oracle on a CUDA device, for each implementation, recorded and not."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from threading import Thread

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.profiler import ProfilerActivity, profile

from cellserve.models.description.layers.cells import GruLayer, LstmLayer, SimpleRnnLayer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.description.layers.rows import LastStepLayer
from cellserve.models.description.layers.stepwise import DenseLayer
from cellserve.models.devices import wait_for_launched
from cellserve.models.measuring.benchmark_call import BenchmarkCall
from cellserve.models.network import Network
from cellserve.models.numerics.uploads import indices
from cellserve.models.recording.recordings import RECORDED_AT
from cellserve.models.recording.rules import RECORDED_LABELS
from tests.models.feeding import in_chunks
from tests.models.networks import Case, agree_with_oracle, cases, chain, random_weights, run_whole, supported
from tests.models.passing import feeder, passes_agree_with_oracle

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")]
modest = settings(deadline=None, max_examples=40)
DEVICE = "cuda"
STACK = chain(
    LstmLayer(name="a", inputs=("x",), units=4, return_sequences=True),
    DenseLayer(name="steps", inputs=("a",), units=2),
    GruLayer(name="b", inputs=("a",), units=3, return_sequences=True, reset_after=True),
    LastStepLayer(name="last", inputs=("b",)),
    outputs=("steps", "last", "a:c", "b"),
)


@modest
@given(cases(fusable=True) | cases(fusable=False))
def test_stacks_agree_with_the_oracle(case: Case) -> None:
    network = case.network(DEVICE)
    for label in supported(network):
        agree_with_oracle(case, *run_whole(case, network, label), label)


@modest
@given(cases(fusable=True, causal=True) | cases(fusable=False, causal=True), st.data())
def test_cuts_into_chunks_leave_no_trace(case: Case, data: st.DataObject) -> None:
    network = case.network(DEVICE)
    for label in supported(network):
        agree_with_oracle(case, *in_chunks(case, network, partial(str, label), data), label)


@modest
@given(cases(fusable=True) | cases(fusable=False), st.data())
def test_cuts_into_passes_leave_no_trace(case: Case, data: st.DataObject) -> None:
    network = case.network(DEVICE)
    assume(network.passes is not None)
    for label in supported(network):
        made = feeder(case, network)
        made.finish(lambda low, high: data.draw(st.integers(low, high)), partial(str, label))
        passes_agree_with_oracle(case, made, label)


@modest
@given(cases(fusable=True, causal=True) | cases(fusable=False, causal=True), st.data())
def test_recorded_chunks_agree_with_the_oracle(case: Case, data: st.DataObject) -> None:
    """The same cases in chunks again and again, until the shapes that come are recorded."""
    network = case.network(DEVICE)
    for label in RECORDED_LABELS:
        for _ in range(RECORDED_AT + 1):
            agree_with_oracle(case, *in_chunks(case, network, partial(str, label), data), label)


@modest
@given(st.data(), st.sampled_from(RECORDED_LABELS))
def test_any_length_and_number_of_rows_fits_recordings(data: st.DataObject, label: str) -> None:
    """Against the same network unrecorded, on the processor: chunks of every length, in pieces, in the rows of other chunks."""
    plain, network = Network(STACK, random_weights(STACK)), Network(STACK, random_weights(STACK), DEVICE)
    for seed in range(3):
        steps = data.draw(st.integers(1, 150))
        lengths = data.draw(st.lists(st.integers(1, steps), min_size=1, max_size=5))
        inputs = torch.randn(steps, len(lengths), 3, generator=torch.Generator().manual_seed(seed))
        expected, expected_state = plain.advance(inputs, lengths, plain.initial_state(len(lengths)), implementation=label)
        for _ in range(RECORDED_AT + 1):
            state = network.initial_state(len(lengths))
            made, after = network.advance(inputs.to(DEVICE), lengths, state, implementation=label)
        torch.testing.assert_close(after.data.cpu(), expected_state.data, rtol=1e-5, atol=2e-6)
        rows = range(len(lengths))
        for ours, theirs in zip(network.finish(made, rows), plain.finish(expected, rows), strict=True):
            for row, length in enumerate(lengths):
                one, other = (ours[:length, row], theirs[:length, row]) if ours.dim() == 3 else (ours[row], theirs[row])
                torch.testing.assert_close(one.cpu(), other, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("label", RECORDED_LABELS)
def test_a_recording_is_one_launch(label: str) -> None:
    network = Network(STACK, random_weights(STACK), DEVICE)
    probe = BenchmarkCall(network, [64] * 4)
    before = _called(lambda: probe(label))
    probe.settle(label)
    after = _called(lambda: probe(label))
    assert before["cudaGraphLaunch"] == 0
    assert after["cudaGraphLaunch"] == 1
    launches = [sum(count for name, count in called.items() if "LaunchKernel" in name) for called in (before, after)]
    assert launches[1] < launches[0] / 10


def test_one_thread_records_while_others_compute() -> None:
    """All on one device: the others launch, allocate, copy to and fro and wait; their numbers and the recording's are right."""
    weights = random_weights(STACK)
    plain, shared = Network(STACK, weights), Network(STACK, weights, DEVICE)
    wrong: list[str] = []

    def compute(label: str, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for steps in (1, 2, 3, 4, 5, 7, 8, 12, 16, 20, 32) * 4:
            inputs = torch.randn(steps, 3, 3, generator=generator)
            _, expected = plain.advance(inputs, [steps] * 3, plain.initial_state(3), implementation="2")
            _, found = shared.advance(inputs.to(DEVICE), [steps] * 3, shared.initial_state(3), implementation=label)
            wait_for_launched(shared.device)
            if not torch.allclose(found.data.cpu(), expected.data, rtol=1e-5, atol=5e-6):
                wrong.append(label)

    threads = [Thread(target=compute, args=(label, seed)) for seed, label in enumerate(("0", "1", "2", "2", "fused", "fused"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert wrong == []
    probe = BenchmarkCall(shared, [16] * 3)
    probe.settle("2")
    assert _called(lambda: probe("2"))["cudaGraphLaunch"] == 1  # it was not given up


@pytest.mark.parametrize(
    "layer",
    [
        LstmLayer(name="l", inputs=("x",), units=4),
        GruLayer(name="l", inputs=("x",), units=4, reset_after=True),
        SimpleRnnLayer(name="l", inputs=("x",), units=4),
    ],
    ids=["lstm", "gru", "simple_rnn"],
)
def test_fused_is_cudnn(layer: RecurrentLayer) -> None:
    spec = chain(layer)
    network = Network(spec, random_weights(spec), DEVICE)
    for lengths in ([8, 8], [8, 3]):
        probe = BenchmarkCall(network, lengths)
        assert _called(partial(probe, "fused"))["aten::_cudnn_rnn"] == 1


def test_indices_leave_from_pinned_memory_and_arrive() -> None:
    device = torch.device(DEVICE)
    assert [indices([n, n + 1], device).tolist() for n in range(50)] == [[n, n + 1] for n in range(50)]


def test_wide_layers_keep_the_whole_float32() -> None:
    """Products large enough for tensor cores, which would keep 10 bits."""
    spec = chain(LstmLayer(name="lstm", inputs=("x",), units=256), width=256)
    weights = random_weights(spec)
    inputs = np.random.default_rng(0).normal(size=(64, 16, 256)).astype(np.float32)
    case = Case(spec, weights, inputs, (16,) * 64, None, {key: np.zeros((64, 256), np.float32) for key in ("0.h", "0.c")})
    network = case.network(DEVICE)
    (expected,), _ = case.expected()
    for label in supported(network):
        (found,), _ = run_whole(case, network, label)
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-5, err_msg=label)


def _called(run: Callable[[], None]) -> Counter[str]:
    """What the host called, by name: of CUDA's runtime and of torch's operators."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the profiler's own
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
            run()
    return Counter({event.key: event.count for event in seen.key_averages()})


def test_products_keep_the_whole_float32() -> None:
    torch.backends.cuda.matmul.allow_tf32 = True
    spec = chain(LstmLayer(name="lstm", inputs=("x",), units=4))
    Network(spec, random_weights(spec), "cuda:0").warm_up("fused")
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32
