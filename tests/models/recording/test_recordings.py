"""Recorded chunks beside the oracle and unrecorded ones, over any stack, cut and shape; when they are made, and forgotten."""

from __future__ import annotations

import logging
from functools import partial
from threading import Thread

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cellserve.models.chunk_body import Advance, ChunkBody
from cellserve.models.description.causal_plan import causal_plan
from cellserve.models.description.layers.cells import GruLayer, LstmLayer
from cellserve.models.description.layers.rows import LastStepLayer
from cellserve.models.description.layers.stepwise import DenseLayer, MaskingLayer
from cellserve.models.description.state_layout import StateLayout
from cellserve.models.graph import Graph
from cellserve.models.network import Network
from cellserve.models.numerics.device_lengths import DeviceLengths
from cellserve.models.numerics.row_lengths import RowLengths
from cellserve.models.recording.recordings import MOST_RECORDINGS, RECORDED_AT, Recordings
from cellserve.models.recording.rules import MOST_ROWS, RECORDED_LABELS, obstacle_to_recording
from cellserve.models.spec import ModelSpec
from cellserve.models.state import RecurrentState
from tests.examples import examples
from tests.models.feeding import in_chunks
from tests.models.networks import Case, agree_with_oracle, cases, chain, random_weights
from tests.models.recording.fakes import FakeRecorder, RefusedWhileRecording, Tape

STACK = chain(
    LstmLayer(name="a", inputs=("x",), units=4, return_sequences=True),
    DenseLayer(name="steps", inputs=("a",), units=2),
    GruLayer(name="b", inputs=("a",), units=3, return_sequences=True),
    LastStepLayer(name="last", inputs=("b",)),
    outputs=("steps", "last", "a:c", "b"),
)
CPU = torch.device("cpu")


def body_of(spec: ModelSpec, device: torch.device = CPU) -> ChunkBody:
    made = causal_plan(spec)
    graph = Graph.prepare(spec, random_weights(spec), device)
    return ChunkBody(graph, made, spec.inputs[0].name, StateLayout.of(spec))


def chunk(body: ChunkBody, steps: int, lengths: list[int], seed: int = 0) -> tuple[torch.Tensor, RowLengths, RecurrentState]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(steps, len(lengths), 3, generator=generator)
    state = RecurrentState(body.layout, torch.randn(len(lengths), body.layout.width, generator=generator))
    for columns in body.layout.columns:
        if not columns.public:
            state.data[:, columns.start] = torch.randint(2, (len(lengths),), generator=generator)
    return inputs, RowLengths(lengths, steps, CPU), state


@settings(deadline=None, max_examples=examples(12))
@given(cases(fusable=True, causal=True) | cases(fusable=False, causal=True), st.data())
def test_stacks_in_chunks_agree_with_the_oracle(case: Case, data: st.DataObject) -> None:
    """Masked ones, and shapes that have come too seldom, run unrecorded in between."""
    network = Network(case.spec, case.weights, recorder=FakeRecorder())
    for label in RECORDED_LABELS:
        for _ in range(RECORDED_AT + 1):
            agree_with_oracle(case, *in_chunks(case, network, partial(str, label), data), label)


@settings(deadline=None, max_examples=examples(5))
@given(st.data(), st.sampled_from(RECORDED_LABELS))
def test_the_same_as_unrecorded_at_any_length_and_number_of_rows(data: st.DataObject, label: str) -> None:
    body, recorder = body_of(STACK), FakeRecorder()
    recordings = Recordings(recorder, body, RECORDED_LABELS, recorded_at=1)
    for seed in range(3):
        steps = data.draw(st.integers(1, 150))
        lengths = data.draw(st.lists(st.integers(1, steps), min_size=1, max_size=5))
        inputs, ends, state = chunk(body, steps, lengths, seed)
        before = state.data.clone()
        answer = recordings.advance(inputs, ends, state, label)
        assert answer is not None
        torch.testing.assert_close(state.data, before, rtol=0, atol=0)
        made, after = answer
        with torch.inference_mode():
            expected, expected_after = body(inputs, ends, state, None, label, True)
        torch.testing.assert_close(after.data, expected_after.data, rtol=1e-5, atol=2e-6)
        for name, vector in expected.vectors.items():
            torch.testing.assert_close(made.vectors[name], vector, rtol=1e-5, atol=2e-6)
        for name, sequence in expected.sequences.items():
            assert made.sequences[name].shape == sequence.shape
            inside = ends.inside
            torch.testing.assert_close(made.sequences[name][inside], sequence[inside], rtol=1e-5, atol=2e-6)
    assert recorder.recorded >= 1


@settings(deadline=None, max_examples=examples(15))
@given(cases(fusable=True, causal=True) | cases(fusable=False, causal=True))
def test_nothing_recorded_waits_for_the_device_or_reads_the_host(case: Case) -> None:
    """On tensors that have shapes and a device but no numbers: an operation that mixes devices or needs a value is found."""
    device, made = torch.device("meta"), causal_plan(case.spec)
    labels = [label for label in RECORDED_LABELS if obstacle_to_recording(made, label) is None]
    assume(not any(layer.on_host for layer in made.body))
    with torch.inference_mode():
        body = body_of(case.spec, device)
        ids = case.inputs.ndim == 2
        like = torch.zeros(3, 4, *case.inputs.shape[2:], dtype=torch.int64 if ids else torch.float32, device=device)
        state = RecurrentState.zeros(body.layout, 4, device)
        lengths = torch.zeros(4, dtype=torch.int64, device=device)
        for label in labels:
            with Tape(device):
                advance, after = body(like, DeviceLengths(lengths, 3), state, None, label, True)
            assert all(tensor.is_meta for tensor in (*advance.vectors.values(), *advance.sequences.values()))
            assert after.data.shape == state.data.shape
    assert labels


def test_the_rules_see_what_a_device_would_refuse() -> None:
    body = body_of(STACK)
    inputs, _, state = chunk(body, 2, [2, 1])
    with pytest.raises(RefusedWhileRecording, match="lift_fresh"), Tape(CPU):
        body(inputs, RowLengths([2, 1], 2, CPU), state, None, "2", True)
    with pytest.raises(RefusedWhileRecording, match="_local_scalar_dense"), Tape(CPU):
        bool((inputs > 0).any())


@torch.inference_mode()
def test_the_stand_in_repeats_operations_and_not_what_python_decides() -> None:
    memory, factor = torch.ones(2), [2.0]
    layout = StateLayout((), 2)
    repeat = FakeRecorder().record(lambda: (Advance({}, {}), RecurrentState(layout, memory * factor[0] + 1)))
    memory.fill_(5)
    factor[0] = 3.0
    _, state = repeat()
    assert state.data.tolist() == [11, 11]


def test_a_shape_is_recorded_when_it_comes_again_and_then_repeated() -> None:
    recorder, body = FakeRecorder(), body_of(STACK)
    recordings = Recordings(recorder, body, RECORDED_LABELS)
    answers = [recordings.advance(*chunk(body, 8, [8, 5, 3]), "2") for _ in range(RECORDED_AT + 2)]
    assert [answer is not None for answer in answers] == [False] * (RECORDED_AT - 1) + [True] * 3
    assert (recorder.recorded, recorder.repeated) == (1, 3)
    assert recordings.advance(*chunk(body, 8, [1, 2, 3, 4]), "2") is not None  # the same buckets
    assert recordings.advance(*chunk(body, 8, [1, 2, 3, 4, 5]), "2") is None
    assert recorder.recorded == 1


def test_pieces_are_recorded_once_for_chunks_of_all_lengths() -> None:
    recorder, body = FakeRecorder(), body_of(STACK)
    recordings = Recordings(recorder, body, RECORDED_LABELS, recorded_at=1)
    for steps in (128, 256, 384):
        assert recordings.advance(*chunk(body, steps, [steps]), "2") is not None
    assert (recorder.recorded, recorder.repeated) == (1, 6)


def test_what_was_used_longest_ago_is_forgotten_and_must_come_again_as_often() -> None:
    recorder, body = FakeRecorder(), body_of(STACK)
    recordings = Recordings(recorder, body, RECORDED_LABELS, recorded_at=2, most_recordings=2)

    def recorded(steps: int) -> bool:
        return recordings.advance(*chunk(body, steps, [steps]), "2") is not None

    assert [recorded(steps) for steps in (1, 1, 2, 2)] == [False, True, False, True]
    assert recorded(1)
    assert [recorded(4), recorded(4)] == [False, True]  # in the place of 2
    assert [recorded(1), recorded(2), recorded(2)] == [True, False, True]
    assert recorder.recorded == 4


def test_all_shapes_of_usual_batches_are_kept_at_once() -> None:
    assert len({2**rows for rows in range(7)}) * len({2**steps for steps in range(8)}) <= MOST_RECORDINGS


def test_what_the_device_refuses_runs_as_before_and_is_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    recorder, body = FakeRecorder(refuses=True), body_of(STACK)
    recordings = Recordings(recorder, body, RECORDED_LABELS, recorded_at=1)
    with caplog.at_level(logging.ERROR):
        assert [recordings.advance(*chunk(body, 96, [96]), "2") for _ in range(3)] == [None] * 3
    assert len(caplog.records) == 1
    assert "'2' runs unrecorded" in caplog.text


def test_very_many_rows_and_other_implementations_run_as_before() -> None:
    recordings = Recordings(FakeRecorder(), body := body_of(STACK), (*RECORDED_LABELS, "fused"), recorded_at=1)
    assert recordings.advance(*chunk(body, 1, [1] * (MOST_ROWS + 1)), "2") is None
    assert recordings.advance(*chunk(body, 1, []), "2") is None
    assert recordings.advance(*chunk(body, 1, [1]), "fused") is None
    assert recordings.advance(*chunk(body, 1, [1]), "0") is not None


def test_a_given_mask_runs_as_before() -> None:
    recorder = FakeRecorder()
    network = Network(STACK, random_weights(STACK), recorder=recorder)
    for _ in range(RECORDED_AT):
        mask = torch.ones(4, 1, dtype=torch.bool)
        network.advance(torch.ones(4, 1, 3), [4], network.initial_state(1), mask=mask, implementation="2")
    assert recorder.recorded == 0


def test_lengths_out_of_range_are_refused_as_ever() -> None:
    network = Network(STACK, random_weights(STACK), recorder=FakeRecorder())
    for _ in range(RECORDED_AT + 1):
        with pytest.raises(ValueError, match="row lengths must be between"):
            network.advance(torch.ones(4, 1, 3), [5], network.initial_state(1), implementation="2")


def test_a_network_on_the_processor_records_nothing() -> None:
    network = Network(STACK, random_weights(STACK))
    assert network.settling_calls == 0
    assert Network(STACK, random_weights(STACK), recorder=FakeRecorder()).settling_calls == RECORDED_AT


def test_several_threads_share_the_memory_of_a_recording() -> None:
    spec = chain(MaskingLayer(name="m", inputs=("x",)), LstmLayer(name="a", inputs=("m",), units=4))
    plain, shared = Network(spec, random_weights(spec)), Network(spec, random_weights(spec), recorder=FakeRecorder())
    wrong: list[int] = []

    def advance(seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for _ in range(30):
            inputs = torch.randn(4, 2, 3, generator=generator)
            answers = [net.advance(inputs, [4, 2], net.initial_state(2), implementation="2") for net in (plain, shared)]
            (_, expected), (_, found) = answers
            if not np.allclose(expected.data.numpy(), found.data.numpy(), atol=1e-5):
                wrong.append(seed)

    threads = [Thread(target=advance, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


@given(cases(causal=True))
@settings(deadline=None, max_examples=examples(5))
def test_cases_that_can_be_recorded_are_drawn(case: Case) -> None:
    made = causal_plan(case.spec)
    assume(case.mask is None and not any(layer.on_host for layer in (*made.body, *made.head)))
    assert obstacle_to_recording(made, "2") is None
