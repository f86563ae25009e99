"""What a proxy before several servers hears of whose a request is: in the header of each call, and of a shared stream."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

import grpc
import numpy as np
import pytest

from cellserve.service.client import AsyncClient, Client
from cellserve.service.client.live.affinity import SEQUENCE_HEADER, affinity
from cellserve.service.client.tensors import to_wire
from cellserve.service.client.transport import MOST_STREAMED_BYTES
from cellserve.service.cluster.envoy import routes
from cellserve.service.pb import cellserve_pb2 as pb
from tests.service.client.fake_sequences import FakeSequences, Refusal, serving

STEP = np.zeros((1, 2), np.float32)
BIG = np.zeros((MOST_STREAMED_BYTES // 8 + 1, 2), np.float32)


@dataclass
class FakeLive(FakeSequences):
    """Tells of each call, and of each stream, by what sequence it was to be sent on."""

    heard: list[tuple[str, str | None]] = field(default_factory=list)
    breaks: int = 0  # streams that end at their next feed

    def _hear(self, method: str, context: grpc.ServicerContext) -> None:
        self.heard.append((method, dict(context.invocation_metadata()).get(SEQUENCE_HEADER)))

    def Run(self, request: pb.RunRequest, context: grpc.ServicerContext) -> pb.RunReply:
        self._hear("Run", context)
        return self._answer(request)

    def Open(self, request: pb.OpenRequest, context: grpc.ServicerContext) -> pb.OpenReply:
        self._hear("Open", context)
        return self._opened(request)

    def Feed(self, request: pb.FeedRequest, context: grpc.ServicerContext) -> pb.FeedReply:
        self._hear("Feed", context)
        return self._fed(request)

    def Get(self, request: pb.GetRequest, context: grpc.ServicerContext) -> pb.SequenceInfo:
        self._hear("Get", context)
        return pb.SequenceInfo(model=request.model, sequence_id=request.sequence_id, version=1, epoch="e")

    def Fork(self, request: pb.ForkRequest, context: grpc.ServicerContext) -> pb.SequenceInfo:
        self._hear("Fork", context)
        return pb.SequenceInfo(model=request.model, sequence_id=request.new_sequence_id, version=1, epoch="e")

    def Restore(self, request: pb.RestoreRequest, context: grpc.ServicerContext) -> pb.SequenceInfo:
        self._hear("Restore", context)
        return pb.SequenceInfo(model=request.model, sequence_id=request.sequence_id, version=1, epoch="e")

    def Snapshot(self, request: pb.SnapshotRequest, context: grpc.ServicerContext) -> pb.SnapshotReply:
        self._hear("Snapshot", context)
        return pb.SnapshotReply(snapshot=b"s")

    def Close(self, request: pb.CloseRequest, context: grpc.ServicerContext) -> pb.CloseReply:
        self._hear("Close", context)
        return pb.CloseReply()

    def Stream(self, requests: Iterator[pb.StreamRequest], context: grpc.ServicerContext) -> Iterator[pb.StreamReply]:
        self._hear("Stream", context)
        context.send_initial_metadata(())
        for message in requests:
            action = message.WhichOneof("action")
            if action == "open":
                yield pb.StreamReply(id=message.id, open=self._opened(message.open))
            elif action == "feed":
                if self.breaks:
                    self.breaks -= 1
                    Refusal(grpc.StatusCode.UNAVAILABLE).abort(context)
                yield pb.StreamReply(id=message.id, feed=self._fed(message.feed))
            elif action == "run":
                yield pb.StreamReply(id=message.id, run=self._answer(message.run))
            else:
                yield pb.StreamReply(id=message.id, close=pb.CloseReply())

    def _opened(self, request: pb.OpenRequest) -> pb.OpenReply:
        return pb.OpenReply(model=request.model, version="1", sequence_id=request.sequence_id, epoch="e")

    def _fed(self, request: pb.FeedRequest) -> pb.FeedReply:
        steps = request.inputs.shape[0]
        sums = pb.Output(name="outputs", tensor=to_wire(np.zeros((1, 2), np.float32)))
        answer = pb.RunReply(model=request.model, version="1", implementation="2", lengths=[steps], outputs=[sums])
        return pb.FeedReply(sequence_id=request.sequence_id, position=request.position + steps, epoch="e", answer=answer)


@pytest.fixture
def fake() -> FakeLive:
    return FakeLive()


@pytest.fixture
def url(fake: FakeLive) -> Iterator[str]:
    with serving(fake) as url:
        yield url


WHOLE_LIFE = [
    ("Open", "a%20b"),
    ("Feed", "a%20b"),
    ("Snapshot", "a%20b"),
    ("Get", "a%20b"),
    ("Fork", "a%20b"),
    ("Restore", "7"),
    ("Close", "a%20b"),
    ("Run", None),
]


def test_every_call_that_is_about_a_sequence_says_so(fake: FakeLive, url: str) -> None:
    with Client(url) as client:
        with client.sequence("small", "a b") as sequence:
            sequence.feed(STEP)
            kept = sequence.snapshot()
            client.attach("small", "a b")
            client.fork("small", "a b", "c")
            client.restore("small", kept, 7)
        client.predict("small", STEP)
    assert fake.heard == WHOLE_LIFE


async def test_so_does_every_call_of_asyncio(fake: FakeLive, url: str) -> None:
    async with AsyncClient(url, streams=False) as client:
        async with client.sequence("small", "a b") as sequence:
            await sequence.feed(STEP)
            kept = await sequence.snapshot()
            await client.attach("small", "a b")
            await client.fork("small", "a b", "c")
            await client.restore("small", kept, 7)
        await client.predict("small", STEP)
    assert fake.heard == WHOLE_LIFE


async def test_what_goes_beside_a_stream_goes_where_the_stream_does(fake: FakeLive, url: str) -> None:
    async with AsyncClient(url) as client:
        async with client.sequence("small", "first") as first, client.sequence("small", "second") as second:
            await asyncio.gather(first.feed(STEP), second.feed(STEP))
            await second.feed(BIG)
            fake.breaks = 1
            await second.feed(STEP)
            await second.feed(STEP)
        await client.predict("small", BIG)
    assert fake.heard == [("Stream", "first"), ("Feed", "first"), ("Feed", "first"), ("Stream", "first"), ("Run", None)]


async def test_a_stream_that_begins_with_whole_requests_has_a_place_of_its_own(fake: FakeLive, url: str) -> None:
    for _ in range(2):
        async with AsyncClient(url) as client:
            await client.predict("small", STEP)
            await client.attach("small", "second")
    streams, calls = fake.heard[::2], fake.heard[1::2]
    assert [name for name, _ in streams] == ["Stream", "Stream"]
    assert [name for name, _ in calls] == ["Get", "Get"]
    assert [key for _, key in streams] == [key for _, key in calls]
    assert streams[0] != streams[1]


@pytest.mark.parametrize(
    ("sequence_id", "written"),
    [
        ("", None),
        ("a" * 257, None),
        ("0", "0"),
        ("größe-._~", "gr%C3%B6%C3%9Fe-._~"),
        ("a/b\n", "a%2Fb%0A"),
        ("漢" * 256, "%E6%BC%A2" * 256),
    ],
)
def test_an_id_is_written_as_in_a_url(sequence_id: str, written: str | None) -> None:
    assert affinity(sequence_id) == (() if written is None else ((SEQUENCE_HEADER, written),))


def test_client_and_proxy_mean_the_same_header() -> None:
    assert SEQUENCE_HEADER == routes.SEQUENCE_HEADER
