"""Live sequences over the Open Inference Protocol, against a real server: what a request's parameters do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest

from cellserve.service.pb import open_inference_pb2 as pb
from cellserve.service.registry.model_settings import ModelSettings
from tests.fakes import FakeNetwork, running_sum
from tests.service.api.conftest import Harness, infer_request, outputs_of
from tests.service.api.test_bad_requests import details_of, refusal
from tests.service.api.typed.test_sequence_stream import gated

NUMBERS = np.random.default_rng(6)


def steps(length: int) -> np.ndarray:
    return NUMBERS.integers(-9, 9, (length, 2)).astype(np.float32)


def feed(
    row: np.ndarray,
    sequence_id: int | str,
    *,
    model: str = "sums",
    start: bool = False,
    end: bool = False,
    position: int | None = None,
    epoch: str = "",
    **arrays: np.ndarray,
) -> pb.ModelInferRequest:
    """As tritonclient sends it: all three sequence parameters, whenever there is an id."""
    request = infer_request(model, inputs=row[np.newaxis], **arrays)
    parameters = request.parameters
    if isinstance(sequence_id, int):
        parameters["sequence_id"].int64_param = sequence_id
    else:
        parameters["sequence_id"].string_param = sequence_id
    parameters["sequence_start"].bool_param = start
    parameters["sequence_end"].bool_param = end
    if position is not None:
        parameters["position"].int64_param = position
    if epoch:
        parameters["epoch"].string_param = epoch
    return request


def position_of(response: pb.ModelInferResponse) -> int:
    return int(response.parameters["position"].int64_param)


async def reason_of(call: object) -> tuple[str, grpc.StatusCode]:
    error = await refusal(call)
    return details_of(error)[0], error.code()


@pytest.mark.parametrize("sequence_id", [5, -7, 2**63 - 1, "5", "user/42 ü"])
async def test_each_reply_is_the_answer_for_everything_fed_so_far(harness: Harness, sequence_id: int | str) -> None:
    row, epochs = steps(12), set()
    for position in range(0, 12, 3):
        piece = row[position : position + 3]
        request = feed(piece, sequence_id, start=position == 0, end=position == 9)
        response = await harness.infer(request)
        sums, end = running_sum(row[: position + 3])
        np.testing.assert_array_equal(outputs_of(response)["outputs"], [sums[-3:]])
        np.testing.assert_array_equal(outputs_of(response)["outputs_1"], [end])
        assert position_of(response) == position + 3
        assert response.parameters["sequence_id"] == request.parameters["sequence_id"]
        epochs.add(response.parameters["epoch"].string_param)
        assert response.model_version == "1"
    assert await reason_of(harness.infer(feed(row, sequence_id))) == ("SEQUENCE_UNKNOWN", grpc.StatusCode.NOT_FOUND)
    assert len(epochs) == 1
    assert "" not in epochs
    assert harness.catalog.leases == 0


async def test_the_number_and_the_text_are_one_sequence_and_models_are_apart(harness: Harness) -> None:
    harness.add("others", FakeNetwork(2))
    row, other = steps(4), steps(4)
    await harness.infer(feed(row[:2], 5, start=True))
    await harness.infer(feed(other[:2], "5", model="others", start=True))
    fed = await harness.infer(feed(row[2:], "5"))
    fed_other = await harness.infer(feed(other[2:], 5, model="others"))
    assert fed.parameters["sequence_id"].string_param == "5"
    assert fed_other.parameters["sequence_id"].int64_param == 5
    np.testing.assert_array_equal(outputs_of(fed)["outputs_1"][0], running_sum(row)[1])
    np.testing.assert_array_equal(outputs_of(fed_other)["outputs_1"][0], running_sum(other)[1])


@pytest.mark.parametrize("nameless", [0, ""])
async def test_a_start_without_an_id_is_given_one_of_the_same_type(harness: Harness, nameless: int | str) -> None:
    row = steps(4)
    given = (await harness.infer(feed(row[:2], nameless, start=True))).parameters["sequence_id"]
    assert given.WhichOneof("parameter_choice") == ("int64_param" if nameless == 0 else "string_param")
    made = given.int64_param or given.string_param
    assert made not in (0, "")
    response = await harness.infer(feed(row[2:], made))
    np.testing.assert_array_equal(outputs_of(response)["outputs_1"][0], running_sum(row)[1])


async def test_a_start_on_a_live_id_restarts_it(harness: Harness) -> None:
    row = steps(3)
    await harness.infer(feed(steps(5), 1, start=True))
    restarted = await harness.infer(feed(row, 1, start=True))
    np.testing.assert_array_equal(outputs_of(restarted)["outputs_1"][0], running_sum(row)[1])
    assert position_of(restarted) == 3


async def test_a_request_without_a_sequence_starts_from_zeros(harness: Harness) -> None:
    row = steps(3)
    await harness.infer(feed(steps(5), 1, start=True))
    plain = await harness.infer(feed(row, 0))
    np.testing.assert_array_equal(outputs_of(plain)["outputs_1"][0], running_sum(row)[1])
    assert "position" not in plain.parameters


async def test_a_feed_with_its_position_is_applied_once(harness: Harness) -> None:
    row = steps(6)
    first = await harness.infer(feed(row[:2], 1, start=True, position=0))
    again = await harness.infer(feed(row[:2], 1, start=True, position=0))
    assert (again.raw_output_contents, position_of(again)) == (first.raw_output_contents, 2)
    fed = await harness.infer(feed(row[2:4], 1, position=2))
    repeated = await harness.infer(feed(row[2:4], 1, position=2))
    assert (repeated.raw_output_contents, position_of(repeated)) == (fed.raw_output_contents, 4)
    error = await refusal(harness.infer(feed(row[:2], 1, position=0)))
    assert details_of(error)[0] == "SEQUENCE_POSITION"
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "position 4" in (error.details() or "")
    last = await harness.infer(feed(row[4:], 1, position=4, end=True))
    assert (await harness.infer(feed(row[4:], 1, position=4, end=True))).raw_output_contents == last.raw_output_contents
    np.testing.assert_array_equal(outputs_of(last)["outputs_1"][0], running_sum(row)[1])


async def test_another_epoch_tells_a_lost_sequence_from_one_that_never_was(harness: Harness) -> None:
    epoch = (await harness.infer(feed(steps(1), 2, start=True))).parameters["epoch"].string_param
    lost = await reason_of(harness.infer(feed(steps(1), 1, epoch="00000000", position=7)))
    assert lost == ("SEQUENCE_LOST", grpc.StatusCode.NOT_FOUND)
    unknown = await reason_of(harness.infer(feed(steps(1), 1, epoch=epoch)))
    assert unknown == ("SEQUENCE_UNKNOWN", grpc.StatusCode.NOT_FOUND)


async def test_lengths_and_mask_belong_to_the_one_row(harness: Harness) -> None:
    row = steps(5)
    padded = await harness.infer(feed(row, 1, start=True, lengths=np.array([3])))
    np.testing.assert_array_equal(outputs_of(padded)["outputs"][0], [*running_sum(row[:3])[0], [0, 0], [0, 0]])
    assert position_of(padded) == 3
    valid = np.array([True, False, True, True, False])
    masked = await harness.infer(feed(row, 2, start=True, mask=valid[np.newaxis]))
    np.testing.assert_array_equal(outputs_of(masked)["outputs_1"][0], running_sum(row, valid)[1])
    assert position_of(masked) == 5


async def test_states_go_in_at_the_start_only_and_come_out_of_every_feed(harness: Harness) -> None:
    row, initial = steps(4), np.array([[10.0, 20.0]], np.float32)
    request = feed(row[:2], 1, start=True, state_0_h=initial)
    request.parameters["return_state"].bool_param = True
    state = outputs_of(await harness.infer(request))["state.0.h"]
    np.testing.assert_array_equal(state[0], running_sum(row[:2], state=initial[0])[1])
    error = await refusal(harness.infer(feed(row[2:], 1, state_0_h=initial)))
    assert details_of(error) == ("INVALID_INPUT", ["inputs.state.0.h"])
    fed = outputs_of(await harness.infer(feed(row[2:], 1)))["outputs_1"]
    explicit = outputs_of(await harness.infer(infer_request("sums", inputs=row[np.newaxis, 2:], state_0_h=state)))["outputs_1"]
    np.testing.assert_array_equal(fed, explicit)


async def test_more_rows_than_one_and_models_that_look_ahead_are_refused(harness: Harness) -> None:
    harness.add("ahead", FakeNetwork(2, causal=False))
    batch = infer_request("sums", inputs=np.ones((2, 3, 2), np.float32))
    batch.parameters["sequence_id"].int64_param = 1
    batch.parameters["sequence_start"].bool_param = True
    error = await refusal(harness.infer(batch))
    assert details_of(error) == ("INVALID_INPUT", ["inputs.inputs"])
    assert "one row at a time; the request has 2" in (error.details() or "")
    ahead = await reason_of(harness.infer(feed(steps(2), 1, model="ahead", start=True)))
    assert ahead == ("NOT_CAUSAL", grpc.StatusCode.FAILED_PRECONDITION)
    unknown = await reason_of(harness.infer(feed(steps(2), 1, model="nobody", start=True)))
    assert unknown == ("MODEL_UNKNOWN", grpc.StatusCode.NOT_FOUND)
    assert not harness.sessions.list()


async def test_a_refused_feed_leaves_the_sequence_as_it_was(harness: Harness) -> None:
    row = steps(4)
    await harness.infer(feed(row[:2], 1, start=True))
    for bad in (feed(np.full((1, 2), np.nan, np.float32), 1), feed(np.ones((1, 9), np.float32), 1)):
        assert (await reason_of(harness.infer(bad)))[0] == "INVALID_INPUT"
    fed = await harness.infer(feed(row[2:], 1, position=2))
    np.testing.assert_array_equal(outputs_of(fed)["outputs_1"][0], running_sum(row)[1])


async def test_a_sequence_stays_on_the_version_it_began_on(harness: Harness) -> None:
    await harness.infer(feed(steps(2), 1, start=True))
    harness.add("sums", FakeNetwork(2), version=2)
    assert (await harness.infer(feed(steps(2), 1))).model_version == "1"
    assert (await harness.infer(feed(steps(2), 2, start=True))).model_version == "2"


async def test_feeds_on_one_stream_are_applied_in_the_order_sent(harness: Harness) -> None:
    rows = {sequence_id: steps(60) for sequence_id in range(1, 9)}
    requests = []
    for step in range(60):
        for sequence_id, row in rows.items():
            request = feed(row[step : step + 1], sequence_id, start=step == 0, end=step == 59)
            request.id = f"{sequence_id}/{step}"
            requests.append(request)
    replies = [reply async for reply in harness.open_inference.ModelStreamInfer(iter(requests))]
    assert not [reply.error_message for reply in replies if reply.error_message]
    sums = {sequence_id: running_sum(row)[0] for sequence_id, row in rows.items()}
    for reply in replies:
        sequence_id, step = map(int, reply.infer_response.id.split("/"))
        np.testing.assert_array_equal(outputs_of(reply.infer_response)["outputs_1"][0], sums[sequence_id][step])
        assert position_of(reply.infer_response) == step + 1
    assert len(replies) == len(requests)
    assert not harness.sessions.list()


async def test_an_error_on_a_stream_names_its_reason_and_the_stream_goes_on(harness: Harness) -> None:
    stream = harness.open_inference.ModelStreamInfer()
    await stream.write(feed(steps(1), 9))
    assert (await stream.read()).error_message.startswith("[SEQUENCE_UNKNOWN] ")
    await stream.write(feed(steps(1), 9, start=True))
    assert position_of((await stream.read()).infer_response) == 1
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF


async def test_a_client_that_goes_in_the_middle_of_a_feed_changes_nothing(harness: Harness) -> None:
    async with gated(harness) as gate:
        gate.opened.set()
        row = steps(6)
        await harness.infer(feed(row[:2], 1, model="slow", start=True))
        gate.opened.clear()
        gate.met.clear()
        call = harness.open_inference.ModelInfer(feed(row[2:4], 1, model="slow", position=2))
        await gate.is_met()
        call.cancel()
        follower = asyncio.ensure_future(harness.infer(feed(row[2:], 1, model="slow", position=2)))
        await asyncio.sleep(0.05)  # it waits for its turn, or for the row
        gate.opened.set()
        np.testing.assert_array_equal(outputs_of(await follower)["outputs_1"][0], running_sum(row)[1])
        await harness.rows_are_free(8)


async def test_two_clients_of_one_sequence_cannot_both_feed_one_position(harness: Harness) -> None:
    await harness.infer(feed(steps(1), 1, start=True))
    answers = await asyncio.gather(
        *(harness.infer(feed(np.full((1, 2), n, np.float32), 1, position=1)) for n in range(8)), return_exceptions=True
    )
    applied = [answer for answer in answers if isinstance(answer, pb.ModelInferResponse)]
    refused = [details_of(answer)[0] for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert (len(applied), refused) == (1, ["SEQUENCE_POSITION"] * 7)


@pytest.mark.parametrize(
    ("asks", "causal", "choice"), [(True, True, "sequence"), (True, False, "dynamic"), (False, True, "dynamic")]
)
async def test_the_configuration_asks_for_sequences_where_the_model_does(
    harness: Harness, asks: bool, causal: bool, choice: str
) -> None:
    harness.add("m", FakeNetwork(2, causal=causal))
    harness.catalog.settings = ModelSettings(sequence_batching=asks, session_idle_seconds=90.0)
    config = (await harness.open_inference.ModelConfig(pb.ModelConfigRequest(name="m"))).config
    assert config.WhichOneof("scheduling_choice") == f"{choice}_batching"
    assert config.sequence_batching.max_sequence_idle_microseconds == (90_000_000 if choice == "sequence" else 0)
    assert config.max_batch_size > 0


async def test_a_stopping_server_takes_no_feed(harness_of: Callable[..., Any]) -> None:
    async with harness_of(max_active_sequences=8) as harness:
        harness.add("sums", FakeNetwork(2))
        await harness.infer(feed(steps(1), 1, start=True))
        harness.execution.close()
        assert await reason_of(harness.infer(feed(steps(1), 1))) == ("DRAINING", grpc.StatusCode.UNAVAILABLE)
