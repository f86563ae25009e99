"""Live sequences over cellserve.v1.Sequences, in calls and on a stream, against a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from cellserve.service.pb import cellserve_pb2 as pb
from tests.fakes import FakeNetwork, running_sum
from tests.service.api.conftest import Harness, network_of
from tests.service.api.open_inference.test_sessions import steps
from tests.service.api.test_bad_requests import details_of, refusal
from tests.service.api.typed.test_sequence_stream import gated
from tests.service.api.typed.test_sequences import array, tensor

Talk = Callable[[Any], Awaitable[Any]]
_FIELDS = {pb.OpenRequest: "open", pb.FeedRequest: "feed", pb.SnapshotRequest: "snapshot", pb.CloseRequest: "close"}
_CALLS = {kind: field.capitalize() for kind, field in _FIELDS.items()}


class StreamError(Exception):
    """An Error message, as the calls' tests want to see it."""

    def __init__(self, error: pb.Error) -> None:
        super().__init__(error.message)
        self.error = error


@pytest.fixture(params=["calls", "stream"])
def talk(request: pytest.FixtureRequest, harness: Harness) -> Talk:
    """await talk(pb.FeedRequest(…)): the reply, by a call or on a stream."""

    async def by_call(message: Any) -> Any:
        return await getattr(harness.sequences, _CALLS[type(message)])(message)

    async def on_stream(message: Any) -> Any:
        sent = pb.StreamRequest(id="r", **{_FIELDS[type(message)]: message})
        (reply,) = [reply async for reply in harness.sequences.Stream(iter([sent]))]
        if reply.WhichOneof("result") == "error":
            raise StreamError(reply.error)
        assert reply.WhichOneof("result") == _FIELDS[type(message)]
        return getattr(reply, _FIELDS[type(message)])

    return by_call if request.param == "calls" else on_stream


async def reason_of(call: Awaitable[Any]) -> tuple[str, str, dict[str, str]]:
    """Reason, field and metadata."""
    try:
        await call
    except StreamError as error:
        return error.error.reason, error.error.field, dict(error.error.metadata)
    except grpc.aio.AioRpcError as error:
        reason, fields = details_of(error)
        return reason, "".join(fields), metadata_of(error)
    raise AssertionError("nothing was refused")


def metadata_of(error: grpc.aio.AioRpcError) -> dict[str, str]:
    info = error_details_pb2.ErrorInfo()
    rpc_status.from_call(error).details[0].Unpack(info)
    return {name: value for name, value in info.metadata.items() if name != "request_id"}


def opening(sequence_id: str = "a", **fields: Any) -> pb.OpenRequest:
    return pb.OpenRequest(**({"model": "sums", "sequence_id": sequence_id} | fields))


def feed(row: np.ndarray | None, sequence_id: str = "a", **fields: Any) -> pb.FeedRequest:
    inputs = None if row is None else tensor(row)
    return pb.FeedRequest(**({"model": "sums", "sequence_id": sequence_id, "inputs": inputs} | fields))


def ends(reply: pb.FeedReply) -> np.ndarray:
    return array(reply.answer.outputs[1].tensor)[0]


async def test_a_life(harness: Harness, talk: Talk) -> None:
    row = steps(9)
    opened = await talk(opening())
    assert (opened.model, opened.version, opened.sequence_id, opened.position) == ("sums", "1", "a", 0)
    assert opened.epoch
    for position in (0, 3, 6):
        reply = await talk(feed(row[position : position + 3], position=position, epoch=opened.epoch))
        assert (reply.sequence_id, reply.position, reply.epoch, reply.repeated) == ("a", position + 3, opened.epoch, False)
        assert (reply.answer.version, list(reply.answer.lengths)) == ("1", [3])
        np.testing.assert_array_equal(array(reply.answer.outputs[0].tensor), running_sum(row[: position + 3])[0][-3:])
        np.testing.assert_array_equal(ends(reply), running_sum(row[: position + 3])[1])
        assert not reply.answer.state
    await talk(pb.CloseRequest(model="sums", sequence_id="a"))
    assert (await reason_of(talk(feed(row))))[0] == "SEQUENCE_UNKNOWN"
    assert harness.catalog.leases == 0
    assert [fact.reason for fact in harness.observer.requests] == [None] * 3 + ["SEQUENCE_UNKNOWN"]  # the feeds alone


async def test_a_live_id_is_opened_again_only_to_restart_it(talk: Talk) -> None:
    row = steps(3)
    await talk(opening())
    await talk(feed(steps(2)))
    assert (await reason_of(talk(opening())))[:2] == ("SEQUENCE_EXISTS", "sequence_id")
    await talk(opening(restart=True))
    np.testing.assert_array_equal(ends(await talk(feed(row, position=0))), running_sum(row)[1])


async def test_the_server_makes_ids_that_are_new(talk: Talk) -> None:
    made = {(await talk(opening(""))).sequence_id for _ in range(20)}
    assert len(made) == 20
    assert "" not in made


@pytest.mark.parametrize("shape", [(2,), (1, 2)])
async def test_it_begins_with_the_states_given_and_tells_those_reached(talk: Talk, shape: tuple[int, ...]) -> None:
    initial, row = np.array([7, 9], np.float32), steps(4)
    await talk(opening(state={"0.h": tensor(initial.reshape(shape))}))
    reply = await talk(feed(row, return_state=True))
    np.testing.assert_array_equal(array(reply.answer.state["0.h"]), [running_sum(row, state=initial)[1]])


async def test_masked_steps_are_consumed_and_skipped(talk: Talk) -> None:
    row, mask = steps(5), np.array([True, False, False, True, True])
    await talk(opening())
    reply = await talk(feed(row, mask=tensor(mask)))
    assert reply.position == 5
    np.testing.assert_array_equal(ends(reply), running_sum(row, mask)[1])


async def test_a_feed_sent_twice_is_applied_once(talk: Talk) -> None:
    row = steps(6)
    await talk(opening())
    first = await talk(feed(row[:3], position=0))
    again = await talk(feed(row[:3], position=0))
    assert (again.repeated, again.position, again.answer.outputs) == (True, 3, first.answer.outputs)
    last = await talk(feed(row[3:], position=3, end=True))
    gone = await talk(feed(row[3:], position=3, end=True))
    assert (gone.repeated, gone.answer.outputs) == (True, last.answer.outputs)


async def test_a_feed_elsewhere_learns_where_the_sequence_stands(talk: Talk) -> None:
    opened = await talk(opening())
    await talk(feed(steps(4)))
    for position in (0, 3, 5):
        reason, field, metadata = await reason_of(talk(feed(steps(2), position=position)))
        assert (reason, field) == ("SEQUENCE_POSITION", "position")
        assert metadata == {"position": "4", "epoch": opened.epoch}


async def test_a_feed_of_no_steps_says_where_the_sequence_stands(talk: Talk) -> None:
    await talk(opening())
    await talk(feed(steps(4)))
    reply = await talk(feed(None))
    assert reply.position == 4
    assert not reply.HasField("answer")
    assert (await talk(feed(None, end=True))).position == 4
    assert (await reason_of(talk(feed(None))))[0] == "SEQUENCE_UNKNOWN"


BAD: dict[str, tuple[pb.FeedRequest, str, str]] = {
    "width": (feed(np.ones((2, 9), np.float32)), "INVALID_INPUT", "inputs"),
    "rank": (feed(np.ones((1, 2, 2), np.float32)), "INVALID_INPUT", "inputs"),
    "no dimensions": (feed(np.ones((), np.float32)), "INVALID_INPUT", "inputs"),
    "no steps": (feed(np.ones((0, 2), np.float32)), "INVALID_INPUT", "inputs"),
    "NaN": (feed(np.full((2, 2), np.nan, np.float32)), "INVALID_INPUT", "inputs"),
    "ids": (feed(np.ones(2, np.int64)), "INVALID_INPUT", "inputs"),
    "mask's length": (feed(steps(2), mask=tensor(np.ones(3, bool))), "INVALID_INPUT", "mask"),
    "mask alone": (feed(None, mask=tensor(np.ones(3, bool))), "INVALID_INPUT", "inputs"),
    "too many inputs": (feed(steps(2), more_inputs=[tensor(steps(2))]), "INVALID_INPUT", "more_inputs"),
    "implementation": (feed(steps(2), implementation="9"), "IMPLEMENTATION_UNKNOWN", "implementation"),
    "unsupported": (feed(steps(2), implementation="fused"), "IMPLEMENTATION_UNSUPPORTED", "implementation"),
    "negative position": (feed(steps(2), position=-1), "INVALID_INPUT", "position"),
    "another model": (feed(steps(2), model="nobody"), "MODEL_UNKNOWN", "model"),
    "another id": (feed(steps(2), sequence_id="b"), "SEQUENCE_UNKNOWN", "sequence_id"),
    "no id": (feed(steps(2), sequence_id=""), "INVALID_INPUT", "sequence_id"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_refused_feed_leaves_the_sequence_as_it_was(talk: Talk, name: str) -> None:
    bad, reason, field = BAD[name]
    row = steps(2)
    await talk(opening())
    assert (await reason_of(talk(bad)))[:2] == (reason, field)
    np.testing.assert_array_equal(ends(await talk(feed(row, position=0))), running_sum(row)[1])


@pytest.mark.parametrize(
    ("bad", "reason", "field"),
    [
        (opening(model="nobody"), "MODEL_UNKNOWN", "model"),
        (opening(version="9"), "VERSION_UNKNOWN", "version"),
        (opening("x" * 257), "INVALID_INPUT", "sequence_id"),
        (opening(state={"7.h": tensor(np.ones(2, np.float32))}), "INVALID_INPUT", "state.7.h"),
        (opening(state={"0.h": tensor(np.ones(3, np.float32))}), "INVALID_INPUT", "state.0.h"),
        (opening(state={"0.h": tensor(np.full(2, np.inf, np.float32))}), "INVALID_INPUT", "state.0.h"),
        (opening(model="ahead"), "NOT_CAUSAL", "model"),
    ],
)
async def test_a_refused_opening_leaves_nothing(
    harness: Harness, talk: Talk, bad: pb.OpenRequest, reason: str, field: str
) -> None:
    harness.add("ahead", FakeNetwork(2, causal=False))
    assert (await reason_of(talk(bad)))[:2] == (reason, field)
    assert not (await harness.sequences.List(pb.ListSequencesRequest())).sequences
    assert harness.catalog.leases == 0


async def test_listed_looked_at_copied_moved_closed(harness: Harness) -> None:
    sequences, row = harness.sequences, steps(6)
    for sequence_id in ("a", "b"):
        await sequences.Open(opening(sequence_id))
    await sequences.Feed(feed(row[:4]))
    listed = (await sequences.List(pb.ListSequencesRequest(model="sums"))).sequences
    assert [(each.sequence_id, each.position, each.version) for each in listed] == [("a", 4, 1), ("b", 0, 1)]
    got = await sequences.Get(pb.GetRequest(model="sums", sequence_id="a"))
    assert (got.position, got.bytes, got.state) == (4, 8, pb.SequenceInfo.IDLE)
    assert 0 <= got.idle_seconds <= got.age_seconds < 60
    taken = await sequences.Snapshot(pb.SnapshotRequest(model="sums", sequence_id="a"))
    forked = await sequences.Fork(pb.ForkRequest(model="sums", sequence_id="a", new_sequence_id="c"))
    assert (forked.sequence_id, forked.position) == ("c", 4)
    await sequences.Feed(feed(steps(3)))
    restored = await sequences.Restore(pb.RestoreRequest(model="sums", snapshot=taken.snapshot))
    assert (len(restored.sequence_id), restored.position) == (32, 4)
    for sequence_id in ("c", restored.sequence_id):
        np.testing.assert_array_equal(ends(await sequences.Feed(feed(row[4:], sequence_id, position=4))), running_sum(row)[1])
    refused = await refusal(sequences.Fork(pb.ForkRequest(model="sums", sequence_id="a", new_sequence_id="b")))
    assert (details_of(refused)[0], refused.code()) == ("SEQUENCE_EXISTS", grpc.StatusCode.ALREADY_EXISTS)
    restoring = pb.RestoreRequest(model="sums", snapshot=taken.snapshot, sequence_id="b")
    assert details_of(await refusal(sequences.Restore(restoring)))[0] == "SEQUENCE_EXISTS"
    restoring.restart = True
    assert (await sequences.Restore(restoring)).position == 4
    restoring.snapshot = b"no snapshot"
    assert details_of(await refusal(sequences.Restore(restoring)))[0] == "INVALID_INPUT"
    for name in ("Get", "Snapshot", "Close", "Fork"):
        request = getattr(pb, f"{name}Request")(model="sums", sequence_id="z")
        assert details_of(await refusal(getattr(sequences, name)(request)))[0] == "SEQUENCE_UNKNOWN"
    for each in (await sequences.List(pb.ListSequencesRequest())).sequences:
        await sequences.Close(pb.CloseRequest(model=each.model, sequence_id=each.sequence_id))
    assert harness.catalog.leases == 0


async def test_the_list_of_a_model_that_does_not_exist_is_refused(harness: Harness) -> None:
    assert not (await harness.sequences.List(pb.ListSequencesRequest(model="sums"))).sequences
    refused = await refusal(harness.sequences.List(pb.ListSequencesRequest(model="nobody")))
    assert (details_of(refused), refused.code()) == (("MODEL_UNKNOWN", ["model"]), grpc.StatusCode.NOT_FOUND)


async def test_a_snapshot_of_other_weights_is_refused(harness: Harness) -> None:
    await harness.sequences.Open(opening())
    taken = await harness.sequences.Snapshot(pb.SnapshotRequest(model="sums", sequence_id="a"))
    rnn = {"kind": "simple_rnn", "name": "rnn", "inputs": ["x"], "units": 2}
    other, _ = network_of({"inputs": [{"name": "x", "width": 2}], "layers": [rnn], "outputs": ["rnn"]})
    harness.add("other", other)
    key = next(key for key in harness.catalog.versions if key.model == "other")
    manifest = harness.catalog.versions[key].manifest.model_copy(update={"weights_digest": f"sha256:{'1' * 64}"})
    harness.catalog.versions[key] = replace(harness.catalog.versions[key], manifest=manifest)
    error = await refusal(harness.sequences.Restore(pb.RestoreRequest(model="other", snapshot=taken.snapshot)))
    assert (details_of(error)[0], error.code()) == ("SEQUENCE_WEIGHTS", grpc.StatusCode.FAILED_PRECONDITION)


async def test_many_sequences_share_one_stream_and_keep_their_order(harness: Harness) -> None:
    rows = {f"s{n}": steps(40) for n in range(10)}
    messages = [pb.StreamRequest(id=f"{given}/open", open=opening(given)) for given in rows]
    for step in range(40):
        for given, row in rows.items():
            sent = feed(row[step : step + 1], given, position=step, end=step == 39)
            messages.append(pb.StreamRequest(id=f"{given}/{step}", feed=sent))
    replies = [reply async for reply in harness.sequences.Stream(iter(messages))]
    assert len(replies) == len(messages)
    sums = {given: running_sum(row)[0] for given, row in rows.items()}
    for reply in replies:
        given, _, step = reply.id.partition("/")
        if step != "open":
            np.testing.assert_array_equal(ends(reply.feed), sums[given][int(step)])
    assert not harness.sessions.list()


async def test_a_cancelled_feed_is_not_applied_and_the_next_one_is(harness: Harness) -> None:
    async with gated(harness) as gate:
        row = steps(5)
        stream = harness.sequences.Stream()
        await stream.write(pb.StreamRequest(id="open", open=opening(model="slow")))
        assert (await stream.read()).id == "open"
        await stream.write(pb.StreamRequest(id="one", feed=feed(steps(3), model="slow", position=0)))
        await gate.is_met()
        await stream.write(pb.StreamRequest(id="two", feed=feed(row, model="slow", position=0)))
        await stream.write(pb.StreamRequest(id="one", cancel=pb.Cancel()))
        cancelled = await stream.read()
        assert (cancelled.id, cancelled.error.reason) == ("one", "CANCELLED")
        gate.opened.set()
        applied = await stream.read()
        assert (applied.id, applied.feed.position) == ("two", 5)
        np.testing.assert_array_equal(ends(applied.feed), running_sum(row)[1])
        await stream.done_writing()


async def test_a_broken_stream_leaves_its_sequences_where_they_were(harness: Harness) -> None:
    async with gated(harness) as gate:
        row = steps(5)
        stream = harness.sequences.Stream()
        await stream.write(pb.StreamRequest(open=opening(model="slow")))
        await stream.read()
        await stream.write(pb.StreamRequest(feed=feed(row[:3], model="slow", position=0)))
        await gate.is_met()
        stream.cancel()
        async with asyncio.timeout(30):
            while not any(fact.code == "CANCELLED" for fact in harness.observer.requests):
                await asyncio.sleep(0.005)
        gate.opened.set()
        reply = await harness.sequences.Feed(feed(row, model="slow", position=0))
        np.testing.assert_array_equal(ends(reply), running_sum(row)[1])


async def test_feeds_are_counted_as_requests_and_openings_are_not(harness: Harness) -> None:
    await harness.sequences.Open(opening())
    await harness.sequences.Feed(feed(steps(2)))
    (fact,) = harness.observer.requests
    assert (fact.version, fact.code, fact.implementation) == (("sums", 1), "OK", "2")
    assert fact.queue_seconds is not None
