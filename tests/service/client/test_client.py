"""Both clients against a scripted server on loopback: what goes in, what comes back."""

import asyncio
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest

from cellserve.service import errors
from cellserve.service.client import AsyncClient, Client, PartLimits, Prediction, ServiceUnavailable
from cellserve.service.client.tensors import from_wire, to_wire
from cellserve.service.pb import cellserve_pb2 as pb
from tests.service.client.fake_sequences import Ask, FakeSequences, Refusal, sequence, serving


def once(kind: type[Client | AsyncClient], url: str, **settings: Any) -> Any:
    """One prediction, on the true clock."""
    if kind is Client:
        with Client(url, **settings) as client:
            return client.predict("digits", sequence(1))

    async def talk() -> Any:
        async with AsyncClient(url, streams=False, **settings) as client:
            return await client.predict("digits", sequence(1))

    return asyncio.run(talk())


class TestForms:
    def test_one_sequence_gives_one_array(self, ask: Ask, fake: FakeSequences) -> None:
        answer = ask("predict", "digits", sequence(3))
        np.testing.assert_array_equal(answer, sequence(3) + 1)
        assert list(fake.requests[0].lengths) == [3]
        assert list(fake.requests[0].inputs.shape) == [3, 2]

    def test_a_list_gives_a_list_and_no_padding_travels(self, ask: Ask, fake: FakeSequences) -> None:
        xs = [sequence(3), sequence(1), sequence(5)]
        answers = ask("predict", "digits", xs)
        assert [answer.tolist() for answer in answers] == [(x + 1).tolist() for x in xs]
        assert list(fake.requests[0].lengths) == [3, 1, 5]
        assert len(fake.requests[0].inputs.data) == 9 * 2 * 4

    def test_a_batch_gives_a_batch_padded_with_zeros(self, ask: Ask, fake: FakeSequences) -> None:
        x = np.stack([sequence(4), sequence(4, start=50)])
        answer = ask("predict", "digits", x, lengths=[4, 2])
        assert answer.shape == (2, 4, 2)
        np.testing.assert_array_equal(answer[0], x[0] + 1)
        np.testing.assert_array_equal(answer[1, :2], x[1, :2] + 1)
        assert not answer[1, 2:].any()
        assert len(fake.requests[0].inputs.data) == 6 * 2 * 4

    def test_a_batch_keeps_its_time_axis_when_every_row_is_shorter(self, ask: Ask) -> None:
        assert ask("predict", "digits", np.zeros((2, 6, 2)), lengths=np.array([3, 2])).shape == (2, 6, 2)

    def test_a_model_without_sequences_gives_one_vector_per_row(self, ask: Ask, fake: FakeSequences) -> None:
        fake.returns_sequences = False
        x = np.stack([sequence(4), sequence(4)])
        np.testing.assert_array_equal(ask("predict", "digits", x), x.sum(axis=1))
        np.testing.assert_array_equal(ask("predict", "digits", x[0]), x[0].sum(axis=0))

    @pytest.mark.parametrize(
        ("dtype", "wire"), [("int32", pb.INT32), ("int16", pb.INT32), ("int64", pb.INT64), ("uint32", pb.INT64)]
    )
    def test_integers_are_ids(self, ask: Ask, fake: FakeSequences, dtype: str, wire: int) -> None:
        fake.returns_sequences = False
        ask("predict", "words", np.array([3, 1, 2], dtype))
        ask("predict", "words", np.array([[3, 1, 2], [4, 0, 0]], dtype), lengths=[3, 1])
        one, batch = fake.requests
        assert one.inputs.dtype == batch.inputs.dtype == wire
        assert from_wire(one.inputs).tolist() == [3, 1, 2]
        assert from_wire(batch.inputs).tolist() == [3, 1, 2, 4]

    def test_features_of_any_dtype_travel_as_float32(self, ask: Ask, fake: FakeSequences) -> None:
        ask("predict", "digits", [np.ones((2, 2), np.int64), np.ones((1, 2), np.float64), [[1, 2], [3, 4]]])
        assert fake.requests[0].inputs.dtype == pb.FLOAT32
        assert from_wire(fake.requests[0].inputs).tolist() == [[1, 1], [1, 1], [1, 1], [1, 2], [3, 4]]

    def test_any_memory_order_is_read_by_its_values(self, ask: Ask) -> None:
        x = np.asfortranarray(sequence(4))
        np.testing.assert_array_equal(ask("predict", "digits", x), sequence(4) + 1)
        np.testing.assert_array_equal(ask("predict", "digits", sequence(8)[::2].astype(">f8")), sequence(8)[::2] + 1)


class TestWholeAnswers:
    def test_run_tells_everything(self, ask: Ask) -> None:
        prediction = ask("run", "digits@canary", [sequence(3), sequence(1)], implementation="1")
        assert isinstance(prediction, Prediction)
        assert (prediction.model, prediction.implementation) == ("digits", "1")
        assert (prediction.queue_seconds, prediction.compute_seconds, prediction.iterations) == (0.25, 0.5, 2)
        assert [row.shape for row in prediction.outputs["outputs"]] == [(3, 2), (1, 2)]
        assert [row.shape for row in prediction.outputs["outputs_1"]] == [(2,), (2,)]
        assert prediction.state == {}

    def test_state_comes_back_and_goes_in_again(self, ask: Ask) -> None:
        first = ask("predict", "digits", sequence(3), return_state=True)
        assert first.state["0.h"].tolist() == [[3]]
        second = ask("predict", "digits", sequence(2), return_state=True, initial_state=first.state)
        assert second.state["0.h"].tolist() == [[5]]
        third = ask("predict", "digits", sequence(1), return_state=True, initial_state={"0.h": np.array([9.0])})
        assert third.state["0.h"].tolist() == [[10]]

    def test_everything_asked_is_on_the_wire(self, ask: Ask, fake: FakeSequences) -> None:
        x = np.stack([sequence(3), sequence(3)])
        mask = np.array([[True, False, True], [False, True, True]])
        ask("run", "digits/12", x, lengths=[3, 2], mask=mask, priority=4, more_inputs=[np.ones((2, 5))], implementation="2")
        ask("run", "digits/12", x, precision="bfloat16")
        request = fake.requests[0]
        assert [each.precision for each in fake.requests] == ["", "bfloat16"]
        assert (request.model, request.version, request.implementation, request.priority) == ("digits", "12", "2", 4)
        assert from_wire(request.mask).tolist() == [True, False, True, False, True]
        assert list(request.more_inputs[0].shape) == [2, 5]
        assert not request.return_state

    @pytest.mark.parametrize(
        ("reference", "model", "version"),
        [("a", "a", ""), ("a/3", "a", "3"), ("a@canary", "a", "canary"), ("a.b-c_d", "a.b-c_d", "")],
    )
    def test_references(self, ask: Ask, fake: FakeSequences, reference: str, model: str, version: str) -> None:
        fake.script = [
            pb.RunReply(version="1", lengths=[1], outputs=[pb.Output(name="outputs", tensor=to_wire(np.ones((1, 1))))])
        ]
        ask("predict", reference, sequence(1))
        assert (fake.requests[0].model, fake.requests[0].version) == (model, version)


class TestSplitting:
    def test_a_long_batch_is_cut_and_joined_in_order(self, ask: Ask, fake: FakeSequences) -> None:
        xs = [sequence(1 + i % 3, start=100 * i) for i in range(23)]
        seen: list[tuple[int, int]] = []
        prediction = ask(
            "run",
            "digits",
            xs,
            return_state=True,
            progress=lambda *done: seen.append(done),
            client={"limits": PartLimits(rows=4)},
        )
        assert [row.tolist() for row in prediction.answer] == [(x + 1).tolist() for x in xs]
        assert prediction.state["0.h"].ravel().tolist() == [len(x) for x in xs]
        assert sorted(len(request.lengths) for request in fake.requests) == [3, 4, 4, 4, 4, 4]
        assert (prediction.compute_seconds, prediction.queue_seconds) == (3.0, 0.25)
        assert len(seen) == 6
        assert seen[-1] == (23, 23)

    def test_states_masks_and_vectors_are_cut_with_their_rows(self, ask: Ask, fake: FakeSequences) -> None:
        xs = np.zeros((3, 2, 1))
        state, vectors = np.array([[10.0], [20.0], [30.0]]), np.array([[1.0], [2.0], [3.0]])
        mask = np.array([[1, 0], [0, 1], [1, 1]])
        limits = {"limits": PartLimits(rows=2)}
        prediction = ask(
            "run", "m", xs, mask=mask, initial_state={"0.h": state}, more_inputs=[vectors], return_state=True, client=limits
        )
        assert prediction.state["0.h"].tolist() == [[12], [22], [32]]
        second = next(request for request in fake.requests if len(request.lengths) == 1)
        assert from_wire(second.mask).tolist() == [True, True]
        assert from_wire(second.more_inputs[0]).tolist() == [[3]]

    def test_one_version_answers_all_parts(self, ask: Ask, fake: FakeSequences) -> None:
        ask("predict", "digits@stable", [sequence(1)] * 5, client={"limits": PartLimits(rows=2)})
        first, *others = [request.version for request in fake.requests]
        assert first == "stable"
        assert others == ["7", "7"]

    def test_a_refused_part_fails_the_call(self, ask: Ask, fake: FakeSequences) -> None:
        answered = pb.RunReply(version="7", lengths=[1], outputs=[pb.Output(name="outputs", tensor=to_wire(np.ones((1, 1))))])
        fake.script = [answered, Refusal(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT", "inputs has NaN in row 1")]
        with pytest.raises(errors.InvalidInput, match="NaN in row 1"):
            ask("predict", "digits", [sequence(1)] * 2, client={"limits": PartLimits(rows=1)})


class TestFurtherInputs:
    def test_rows_lie_one_after_the_other_with_their_lengths(self, ask: Ask, fake: FakeSequences) -> None:
        more = [sequence(4, 3), sequence(2, 3, start=100)]
        ask("predict", "m", [sequence(2), sequence(3)], more_inputs=[more, np.ones((2, 5))])
        (sent,) = fake.requests
        assert [list(each.steps) for each in sent.more_lengths] == [[4, 2], []]
        np.testing.assert_array_equal(from_wire(sent.more_inputs[0]), np.concatenate(more))
        assert list(sent.more_inputs[1].shape) == [2, 5]

    def test_a_batch_padded_alike_has_the_lengths_of_the_first(self, ask: Ask, fake: FakeSequences) -> None:
        x = np.stack([sequence(4)] * 2)
        ask("predict", "m", x, lengths=[4, 1], more_inputs=[x, np.stack([sequence(9)] * 2), np.ones((2, 4), np.int64)])
        (sent,) = fake.requests
        assert [list(each.steps) for each in sent.more_lengths] == [[4, 1], [9, 9], [4, 1]]

    def test_parts_count_the_steps_of_all_inputs_and_take_their_own_rows(self, ask: Ask, fake: FakeSequences) -> None:
        xs, ys = [sequence(2)] * 3, [sequence(1), sequence(8), sequence(3)]
        ask("predict", "m", xs, more_inputs=[ys], client={"limits": PartLimits(steps=10)})
        first, second, third = sorted(fake.requests, key=lambda sent: [1, 8, 3].index(sent.more_inputs[0].shape[0]))
        assert [list(each.lengths) for each in (first, second, third)] == [[2], [2], [2]]

    def test_several_rows_of_a_part(self, ask: Ask, fake: FakeSequences) -> None:
        xs, ys = [sequence(2)] * 3, [sequence(1), sequence(2), sequence(3)]
        ask("predict", "m", xs, more_inputs=[ys], client={"limits": PartLimits(rows=2)})
        first, second = sorted(fake.requests, key=lambda sent: -len(sent.lengths))
        assert [list(each.steps) for each in first.more_lengths] == [[1, 2]]
        assert list(second.more_inputs[0].shape) == [3, 2]
        assert not second.more_lengths  # of one row all that is there


class TestConnection:
    def test_the_token_travels_with_every_call(self, ask: Ask, fake: FakeSequences) -> None:
        ask("predict", "digits", sequence(1), client={"token": "s3cret"})
        assert fake.metadata[0]["authorization"] == "Bearer s3cret"

    def test_a_deadline_ends_a_call_that_nobody_answers(self, ask: Ask, fake: FakeSequences) -> None:
        fake.silent = threading.Event()
        with pytest.raises(errors.DeadlineExpired, match="within the time given"):
            ask("predict", "digits", sequence(1), timeout_seconds=0.2)

    @pytest.mark.parametrize("kind", [Client, AsyncClient])
    def test_where_nobody_listens_until_the_deadline_it_is_told_so(self, kind: type[Client | AsyncClient]) -> None:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))  # not listening
            url = f"127.0.0.1:{nobody.getsockname()[1]}"
            with pytest.raises(ServiceUnavailable, match=f"no answer from {url}.*refused"):
                once(kind, url, timeout_seconds=0.5)

    @pytest.mark.parametrize("kind", [Client, AsyncClient])
    def test_who_comes_late_is_found(self, fake: FakeSequences, kind: type[Client | AsyncClient]) -> None:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            port = held.getsockname()[1]
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(once, kind, f"127.0.0.1:{port}", timeout_seconds=30.0)
            with pytest.raises(TimeoutError):
                answer.result(timeout=1.0)
            with serving(fake, port):
                np.testing.assert_array_equal(answer.result(timeout=30.0), sequence(1) + 1)

    def test_ready_is_false_where_nobody_says_so(self, ask: Ask) -> None:
        assert ask("ready") is False

    def test_the_client_is_light_and_lives_beside_others(self) -> None:
        program = (
            "import sys, cellserve.service.client\n"
            "heavy = {'torch', 'cellserve.models', 'cellserve.service.pb.open_inference_pb2', 'cellserve.service.engine'}\n"
            "print(sorted(heavy & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


async def test_parts_of_one_batch_are_in_flight_together(fake: FakeSequences) -> None:
    fake.returns_sequences = False
    fake.script = [pb.RunReply(version="7", lengths=[1], outputs=[pb.Output(name="outputs", tensor=to_wire(np.ones((1, 2))))])]
    fake.meeting = threading.Barrier(3)
    xs = [sequence(1, start=i) for i in range(7)]
    with serving(fake) as url:
        async with AsyncClient(url, limits=PartLimits(rows=1), parts_in_flight=3) as client:
            answers = await client.predict("digits", xs)
    assert [answer.tolist() for answer in answers[1:]] == [x[0].tolist() for x in xs[1:]]


async def test_one_async_client_answers_many_callers(fake: FakeSequences) -> None:
    with serving(fake) as url:
        async with AsyncClient(url) as client:
            answers = await asyncio.gather(*(client.predict("digits", sequence(1 + i)) for i in range(20)))
    assert [answer.shape[0] for answer in answers] == list(range(1, 21))
