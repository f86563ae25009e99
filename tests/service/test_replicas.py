"""Two servers in processes of their own over one real Valkey: either answers, either may die, and the store as well."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cellserve.models import reference
from cellserve.service.client import AsyncClient
from cellserve.service.pb import cellserve_pb2 as pb
from cellserve.service.pb import cellserve_pb2_grpc
from tests.service.processes import Process, sample, scrape
from tests.service.served import ARRAYS, SPEC, publish
from tests.service.valkey_server import ValkeyServer, binary, valkey

PROXY = (("x-request-id", "proxy-1"),)


class Pair:
    """url, metrics_port, process: of each replica."""

    def __init__(self, store: ValkeyServer, processes: list[Process]) -> None:
        self.store = store
        self.processes = processes
        ports = [process.ready() for process in processes]
        self.urls = [f"127.0.0.1:{port}" for port, _ in ports]
        self.metrics_ports = [metrics_port for _, metrics_port in ports]

    def readiness(self, which: int) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_ports[which]}/readyz") as response:
            return response.read().decode()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    if binary() is None:
        pytest.skip("no Valkey on this machine")
    folder = tmp_path_factory.mktemp("replicas")
    publish(folder / "repository")
    with valkey(folder / "valkey", appendonly="yes", appendfsync="always") as store:
        processes = [
            Process(
                folder / "repository",
                session_store=store.url,
                replica_name=f"replica {number}",
                request_ids_from="127.0.0.0/8",
                implementation="2",
            )
            for number in range(2)
        ]
        try:
            yield Pair(store, processes)
        finally:
            for process in processes:
                process.process.kill()
                process.end()


@asynccontextmanager
async def stubs(pair: Pair) -> AsyncIterator[list[cellserve_pb2_grpc.SequencesStub]]:
    async with grpc.aio.insecure_channel(pair.urls[0]) as one, grpc.aio.insecure_channel(pair.urls[1]) as two:
        yield [cellserve_pb2_grpc.SequencesStub(channel) for channel in (one, two)]


def steps(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2, 3)).astype(np.float32)


def tensor(values: np.ndarray) -> pb.Tensor:
    return pb.Tensor(shape=values.shape, data=values.tobytes())


def last(fed: list[np.ndarray]) -> np.ndarray:
    """The oracle's answer to the last of what was fed."""
    whole = np.concatenate(fed)
    (expected,), _ = reference.run(SPEC, ARRAYS, (whole[None],), [len(whole)])
    return expected[0]


async def test_round_robin_is_answered_as_one_sequence_and_a_retry_is_answered_again(pair: Pair) -> None:
    async with stubs(pair) as replicas:
        opened = await replicas[0].Open(pb.OpenRequest(model="small", sequence_id="s"))
        fed: list[np.ndarray] = []
        for number in range(6):
            fed.append(steps(number))
            asked = pb.FeedRequest(model="small", sequence_id="s", inputs=tensor(fed[-1]))
            reply = await replicas[number % 2].Feed(asked, metadata=PROXY)
            again = await replicas[(number + 1) % 2].Feed(asked, metadata=PROXY)
            for each in (reply, again):
                answer = np.frombuffer(each.answer.outputs[0].tensor.data, np.float32)
                np.testing.assert_allclose(answer, last(fed), rtol=1e-4, atol=1e-5)
                assert (each.position, each.epoch) == (2 * len(fed), opened.epoch)
            assert (reply.repeated, again.repeated) == (False, True)
        listed = (await replicas[0].List(pb.ListSequencesRequest())).sequences
        assert [(each.sequence_id, each.position, each.replica) for each in listed] == [("s", 12, "replica 1")]
        await replicas[1].Close(pb.CloseRequest(model="small", sequence_id="s"))
        assert not (await replicas[0].List(pb.ListSequencesRequest())).sequences
    page = scrape(pair.metrics_ports[1])
    assert sample(page, "cellserve_session_store_available") == 1
    assert sample(page, 'cellserve_session_store_duration_seconds_count{operation="write"}') > 0
    assert sample(page, 'cellserve_session_events_total{event="loaded"') > 0


async def test_whole_requests_go_on_while_the_store_is_away_and_feeds_are_told(pair: Pair) -> None:
    async with stubs(pair) as replicas, grpc.aio.insecure_channel(pair.urls[0]) as channel:
        opened = await replicas[0].Open(pb.OpenRequest(model="small", sequence_id="t"))
        asked = pb.FeedRequest(model="small", sequence_id="t", inputs=tensor(steps(1)))
        await replicas[0].Feed(asked)
        pair.store.kill()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await replicas[0].Feed(asked)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "[STORE_UNAVAILABLE]" in (refused.value.details() or "")
        answered = await replicas[0].Run(pb.RunRequest(model="small", lengths=[2], inputs=tensor(steps(1))))
        assert answered.outputs
        health = health_pb2_grpc.HealthStub(channel)
        whole, live = (health_pb2.HealthCheckRequest(service=name) for name in ("", "cellserve.v1.Sequences/live"))
        assert (await health.Check(whole)).status == health_pb2.HealthCheckResponse.SERVING
        assert (await health.Check(live)).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert "live sequences are refused" in await asyncio.to_thread(pair.readiness, 0)
        await asyncio.to_thread(pair.store.start)
        while (await health.Check(live)).status != health_pb2.HealthCheckResponse.SERVING:
            await asyncio.sleep(0.02)
        assert await asyncio.to_thread(pair.readiness, 0) == "ready\n"
        while "refused" in await asyncio.to_thread(pair.readiness, 1):
            await asyncio.sleep(0.02)
        with pytest.raises(grpc.aio.AioRpcError, match="SEQUENCE_POSITION") as told:  # writes may have been lost
            await replicas[1].Feed(asked)
        assert "at position 2" in (told.value.details() or "")
        reply = await replicas[1].Feed(
            pb.FeedRequest(model="small", sequence_id="t", inputs=tensor(steps(2)), position=2, epoch=opened.epoch)
        )
        answer = np.frombuffer(reply.answer.outputs[0].tensor.data, np.float32)
        np.testing.assert_allclose(answer, last([steps(1), steps(2)]), rtol=1e-4, atol=1e-5)


async def test_a_killed_replica_takes_nothing_with_it(pair: Pair) -> None:
    """Last: the replica stays dead."""
    fed = [steps(seed) for seed in range(3)]
    async with AsyncClient(pair.urls[0]) as one, AsyncClient(pair.urls[1]) as two:
        sequence = await one.sequence("small", "u").open()
        await sequence.feed(fed[0])
        await sequence.feed(fed[1])
        pair.processes[0].process.kill()
        taken = await two.attach("small", "u")
        assert taken.position == 4
        np.testing.assert_allclose(np.asarray(await taken.feed(fed[2])), last(fed), rtol=1e-4, atol=1e-5)
        await taken.close()
