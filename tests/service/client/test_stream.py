"""The asyncio client's shared stream, against a scripted server on loopback."""

from __future__ import annotations

import asyncio
import gc
import queue
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

import grpc
import numpy as np
import pytest

from cellserve.service import errors
from cellserve.service.client import AccessDenied, AsyncClient, RetryPolicy
from cellserve.service.client.transport import MOST_STREAMED_BYTES
from cellserve.service.pb import cellserve_pb2 as pb
from tests.service.client.fake_sequences import Clock, FakeSequences, Refusal, sequence, serving

Answers = Callable[[pb.StreamRequest], list[pb.StreamReply] | Refusal]


@dataclass
class FakeStreams(FakeSequences):
    """`answers` makes the replies to one message, or the end of the stream; by default each request is answered at once."""

    answers: Answers | None = None
    messages: list[pb.StreamRequest] = field(default_factory=list)
    streams: int = 0
    on_open: list[Refusal] = field(default_factory=list)
    late: queue.Queue[pb.StreamReply] = field(default_factory=queue.Queue)

    def Stream(self, requests: Iterator[pb.StreamRequest], context: grpc.ServicerContext) -> Iterator[pb.StreamReply]:
        self.streams += 1
        self.metadata.append(dict(context.invocation_metadata()))
        if self.on_open:
            self.on_open.pop(0).abort(context)
        context.send_initial_metadata(())
        for message in requests:
            self.messages.append(message)
            if message.WhichOneof("action") == "cancel":
                continue
            made = [self.reply(message)] if self.answers is None else self.answers(message)
            if isinstance(made, Refusal):
                made.abort(context)
                return
            yield from made

    def reply(self, message: pb.StreamRequest) -> pb.StreamReply:
        return pb.StreamReply(id=message.id, request_id=f"s-{message.id}", run=self._answer(message.run))


@pytest.fixture
def fake() -> FakeStreams:
    return FakeStreams()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(fake: FakeStreams, clock: Clock) -> AsyncIterator[AsyncClient]:
    with serving(fake) as url:
        retry = RetryPolicy(attempts=3, dice=lambda: 1.0)
        async with AsyncClient(url, retry=retry, sleep=clock.sleep_async, token="t0k3n") as client:
            yield client


async def test_many_callers_share_one_stream(client: AsyncClient, fake: FakeStreams) -> None:
    xs = [sequence(1 + n % 5, start=n) for n in range(100)]
    answers = await asyncio.gather(*(client.predict("digits", x) for x in xs))
    for x, answer in zip(xs, answers, strict=True):
        np.testing.assert_array_equal(answer, x + 1)
    assert (fake.streams, len(fake.messages), fake.requests) == (1, 100, [])
    assert fake.metadata[0]["authorization"] == "Bearer t0k3n"
    assert all(59 < message.timeout_seconds <= 60 for message in fake.messages)


async def test_replies_are_matched_by_id_in_whatever_order(client: AsyncClient, fake: FakeStreams) -> None:
    held: list[pb.StreamRequest] = []

    def all_at_last(message: pb.StreamRequest) -> list[pb.StreamReply]:
        held.append(message)
        return [fake.reply(each) for each in reversed(held)] if len(held) == 5 else []

    fake.answers = all_at_last
    answers = await asyncio.gather(*(client.predict("digits", sequence(n)) for n in range(1, 6)))
    assert [len(answer) for answer in answers] == [1, 2, 3, 4, 5]


async def test_an_error_is_one_requests_own(client: AsyncClient, fake: FakeStreams) -> None:
    bad = pb.Error(code=3, reason="INVALID_INPUT", message="a whole sentence", field="lengths")

    def refuse_long(message: pb.StreamRequest) -> list[pb.StreamReply]:
        if message.run.lengths[0] > 2:
            return [pb.StreamReply(id=message.id, request_id="r-17", error=bad)]
        return [fake.reply(message)]

    fake.answers = refuse_long
    refused, answered = await asyncio.gather(
        client.predict("digits", sequence(3)), client.predict("digits", sequence(1)), return_exceptions=True
    )
    assert type(refused) is errors.InvalidInput
    assert (str(refused), refused.field, refused.request_id) == ("a whole sentence", "lengths", "r-17")
    assert isinstance(answered, np.ndarray)
    assert fake.streams == 1


async def test_hints_on_the_stream_are_waited_for(client: AsyncClient, fake: FakeStreams, clock: Clock) -> None:
    busy = [pb.Error(code=8, reason="OVERLOADED", message="too much", retry_after_seconds=0.75)]
    fake.answers = lambda message: [pb.StreamReply(id=message.id, error=busy.pop()) if busy else fake.reply(message)]
    await client.predict("digits", sequence(1))
    assert clock.slept == [0.75 + 0.05]
    assert (fake.streams, len(fake.messages)) == (1, 2)


@pytest.mark.parametrize(
    "end",
    [
        Refusal(grpc.StatusCode.UNAVAILABLE, message="connection reset"),
        Refusal(grpc.StatusCode.UNAVAILABLE, "DRAINING", retry_after_seconds=1.0),
        Refusal(grpc.StatusCode.INTERNAL, message="RST_STREAM"),
        Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, message="Received message larger than max (9 vs. 4)"),
    ],
)
async def test_what_was_in_flight_on_a_broken_stream_is_sent_again(client: AsyncClient, fake: FakeStreams, end: Refusal) -> None:
    ends: list[Refusal] = [end]
    fake.answers = lambda message: ends.pop() if message.run.lengths[0] == 3 and ends else ([] if ends else [fake.reply(message)])
    answers = await asyncio.gather(*(client.predict("digits", sequence(n)) for n in (1, 2, 3)))
    assert [len(answer) for answer in answers] == [1, 2, 3]
    assert len(fake.requests) == 3
    np.testing.assert_array_equal(await client.predict("digits", sequence(4)), sequence(4) + 1)
    assert fake.streams == 2


async def test_a_request_that_breaks_streams_learns_so(client: AsyncClient, fake: FakeStreams) -> None:
    too_large = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, message="Received message larger than max (9 vs. 4)")
    fake.answers = lambda message: too_large
    fake.script = [too_large]
    with pytest.raises(errors.ServiceError, match="fewer rows") as caught:
        await client.predict("digits", sequence(3))
    assert caught.value.reason == "MESSAGE_TOO_LARGE"


async def test_servers_without_streams_are_asked_by_calls(client: AsyncClient, fake: FakeStreams) -> None:
    fake.on_open = [Refusal(grpc.StatusCode.UNIMPLEMENTED, message="Method not found!")]
    for _ in range(3):
        await client.predict("digits", sequence(1))
    assert (fake.streams, len(fake.requests)) == (1, 3)


async def test_a_refusal_at_the_opening_is_known_to_all_who_wait(client: AsyncClient, fake: FakeStreams, clock: Clock) -> None:
    fake.on_open = [Refusal(grpc.StatusCode.UNAVAILABLE, "DRAINING", retry_after_seconds=0.5)]
    await asyncio.gather(*(client.predict("digits", sequence(1)) for _ in range(10)))
    assert clock.slept == [0.5 + 0.05] * 10


async def test_a_refused_token_is_told_at_once(client: AsyncClient, fake: FakeStreams) -> None:
    fake.on_open = [Refusal(grpc.StatusCode.UNAUTHENTICATED, message="unknown token")]
    with pytest.raises(AccessDenied, match="unknown token"):
        await client.predict("digits", sequence(1))


async def test_large_requests_travel_alone(client: AsyncClient, fake: FakeStreams) -> None:
    x = np.zeros((MOST_STREAMED_BYTES // 16 + 1, 4), np.float32)
    await client.predict("digits", x)
    assert (fake.streams, len(fake.requests)) == (0, 1)


async def test_streams_can_be_declined(fake: FakeStreams) -> None:
    with serving(fake) as url:
        async with AsyncClient(url, streams=False) as client:
            await client.predict("digits", sequence(1))
    assert (fake.streams, len(fake.requests)) == (0, 1)


async def test_a_cancelled_caller_cancels_its_request_alone(client: AsyncClient, fake: FakeStreams) -> None:
    fake.answers = lambda message: [] if message.run.lengths[0] == 9 else [fake.reply(message)]
    await client.predict("digits", sequence(1))
    waiting = asyncio.create_task(client.predict("digits", sequence(9)))
    async with asyncio.timeout(30):
        while len(fake.messages) < 2:
            await asyncio.sleep(0.005)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        while len(fake.messages) < 3:
            await asyncio.sleep(0.005)
    assert fake.messages[2].WhichOneof("action") == "cancel"
    assert fake.messages[2].id == fake.messages[1].id
    await client.predict("digits", sequence(1))
    assert fake.streams == 1


async def test_a_server_that_stays_silent_is_not_waited_for_longer_than_the_deadline(
    client: AsyncClient, fake: FakeStreams
) -> None:
    fake.answers = lambda message: [] if message.run.lengths[0] == 9 else [fake.reply(message)]
    slow = asyncio.create_task(client.predict("digits", sequence(9), timeout_seconds=0.2))
    late = asyncio.create_task(client.predict("digits", sequence(9), timeout_seconds=0.1))
    for task in (late, slow):
        with pytest.raises(errors.DeadlineExpired):
            await task
    assert len(await client.predict("digits", sequence(2))) == 2
    assert fake.streams == 1


async def test_closing_ends_what_is_in_flight(fake: FakeStreams) -> None:
    fake.answers = lambda message: []
    with serving(fake) as url:
        client = AsyncClient(url)
        waiting = asyncio.create_task(client.predict("digits", sequence(1)))
        async with asyncio.timeout(30):
            while not fake.messages:
                await asyncio.sleep(0.005)
        await client.close()
        with pytest.raises(errors.Cancelled):
            await waiting


def test_closed_clients_leave_no_events_to_later_loops(fake: FakeStreams, caplog: pytest.LogCaptureFixture) -> None:
    async def talk(url: str) -> None:
        async with AsyncClient(url) as client:
            await asyncio.gather(*(client.predict("digits", sequence(1)) for _ in range(20)))

    with serving(fake) as url:
        for _ in range(5):
            asyncio.run(talk(url))
    gc.collect()
    assert not caplog.records


async def test_a_closed_client_keeps_nothing_of_the_call(fake: FakeStreams) -> None:
    """Else its connection stays open until the garbage collector comes by."""
    gc.collect()
    gc.disable()
    try:
        with serving(fake) as url:
            async with AsyncClient(url) as client:
                await client.predict("digits", sequence(3))
            assert [each for each in gc.get_objects() if issubclass(type(each), grpc.aio.StreamStreamCall)] == []
    finally:
        gc.enable()
