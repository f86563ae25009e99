"""A Valkey that writes to disk each second, killed under a load of live sequences and started again.

By hand, with clients that turn to both servers, and as `cellserve cluster up` keeps it, through its Envoy. Half of the clients
are ours, which count positions and feed again what was lost; the others feed blindly, until they are told. Every answer is held
to the oracle's for exactly the steps that the sequence has consumed. STORE_KILLS says how often.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest

from cellserve.service.client import AsyncClient, RetryPolicy
from cellserve.service.client.errors import mirrored
from cellserve.service.errors import SequenceLost, SequencePosition, SequenceUnknown, ServiceError, StoreUnavailable
from cellserve.service.pb import cellserve_pb2 as pb
from cellserve.service.pb import cellserve_pb2_grpc
from tests.e2e.replicas import replicas, require_right
from tests.service.cluster.running import cluster, missing
from tests.service.valkey_server import binary, valkey

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(binary() is None, reason="no Valkey on this machine")]

KILLS = int(os.environ.get("STORE_KILLS", 3))
SEQUENCES = 12
BETWEEN = 600  # answers
PATIENT = RetryPolicy(attempts=1000, first_wait_seconds=0.02, longest_wait_seconds=0.2)


class Load:
    def __init__(self) -> None:
        self.answers = 0
        self.over = False


class Blind:
    """Feeds by calls, to either replica in turn, without positions. told: how often it heard of another position than its own."""

    def __init__(self, stubs: list[cellserve_pb2_grpc.SequencesStub], name: str, seed: int) -> None:
        self._stubs = stubs
        self._name = name
        self._random = np.random.default_rng(seed)
        self.fed = np.zeros((0, 3), np.float32)
        self.epoch = ""
        self.told = self.lost = self.refused = 0

    async def walk(self, load: Load) -> None:
        await self._open()
        number = 0
        while not load.over:
            number += 1
            step = self._random.normal(size=(1, 3)).astype(np.float32)
            asked = pb.FeedRequest(model="small", sequence_id=self._name, inputs=pb.Tensor(shape=(1, 3), data=step.tobytes()))
            if self.epoch:
                asked.epoch = self.epoch  # once: it has heard where the sequence stands
            try:
                reply = await self._stubs[number % 2].Feed(asked)
            except grpc.aio.AioRpcError as error:
                await self._understand(mirrored(error, ""), step)
                continue
            self.epoch = ""
            self.fed = np.concatenate([self.fed, step])
            assert reply.position == len(self.fed)
            answer = np.frombuffer(reply.answer.outputs[0].tensor.data, np.float32)
            require_right([answer.tolist()], self.fed, [len(self.fed)])
            load.answers += 1

    async def _understand(self, error: ServiceError, step: np.ndarray) -> None:
        if isinstance(error, StoreUnavailable):
            self.refused += 1
            await asyncio.sleep(0.02)
            self._perhaps = step
        elif isinstance(error, SequencePosition):
            position = error.position
            assert position is not None
            if position == len(self.fed) + 1:  # the feed that was refused last had been written
                self.fed = np.concatenate([self.fed, self._perhaps])
            assert position <= len(self.fed)
            self.told += position < len(self.fed)
            self.fed, self.epoch = self.fed[:position], error.metadata["epoch"]
        else:
            assert isinstance(error, SequenceLost | SequenceUnknown), error
            self.lost += 1
            await self._open()

    async def _open(self) -> None:
        while True:
            try:
                await self._stubs[0].Open(pb.OpenRequest(model="small", sequence_id=self._name, restart=True))
                break
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            await asyncio.sleep(0.02)
        self.fed, self.epoch = self.fed[:0], ""


async def count(client: AsyncClient, load: Load, seed: int) -> None:
    """Our client's sequence: nothing of the store's death is seen but a wait."""
    chance, fed = np.random.default_rng(seed), np.zeros((0, 3), np.float32)
    async with client.sequence("small", f"ours {seed}") as sequence:
        while not load.over:
            step = chance.normal(size=(1, 3)).astype(np.float32)
            answer = await sequence.feed(step)
            fed = np.concatenate([fed, step])
            assert sequence.position == len(fed)
            require_right([np.asarray(answer).reshape(-1).tolist()], fed, [len(fed)])
            load.answers += 1


@dataclass(frozen=True)
class Arrangement:
    """addresses: of both ways in. kill: the store, as a crash does. back: returns when it serves again."""

    addresses: tuple[str, str]
    kill: Callable[[], None]
    back: Callable[[], None]


@contextmanager
def by_hand(folder: Path) -> Iterator[Arrangement]:
    with (
        valkey(folder / "valkey", appendonly="yes", appendfsync="everysec") as store,
        replicas(folder, store) as servers,
    ):
        yield Arrangement((servers.addresses[0], servers.addresses[1]), store.kill, store.start)


@contextmanager
def kept(folder: Path) -> Iterator[Arrangement]:
    with cluster(folder) as running:
        deaths = 0

        def kill() -> None:
            nonlocal deaths
            deaths += 1
            os.kill(running.state()["store"]["pid"], signal.SIGKILL)

        def back() -> None:
            running.wait_until(lambda state: (state["store"]["restarts"], state["store"]["state"]) == (deaths, "ready"))

        yield Arrangement((running.url, running.url), kill, back)


needs_envoy = pytest.mark.skipif(missing() is not None, reason="no Envoy on this machine")


def refused_times(blind: Sequence[Blind]) -> int:
    return sum(each.refused for each in blind)


@pytest.mark.parametrize("arranged", [by_hand, pytest.param(kept, marks=needs_envoy)], ids=["by hand", "cluster up"])
async def test_every_client_is_told_its_true_position(
    arranged: Callable[[Path], AbstractContextManager[Arrangement]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load = Load()
    with arranged(tmp_path) as servers:
        async with (
            AsyncClient(servers.addresses[0], retry=PATIENT) as ours,
            grpc.aio.insecure_channel(servers.addresses[0]) as one,
            grpc.aio.insecure_channel(servers.addresses[1]) as two,
        ):
            stubs = [cellserve_pb2_grpc.SequencesStub(channel) for channel in (one, two)]
            blind = [Blind(stubs, f"blind {seed}", seed) for seed in range(SEQUENCES)]
            async with asyncio.TaskGroup() as group:
                for each in blind:
                    group.create_task(each.walk(load))
                for seed in range(SEQUENCES):
                    group.create_task(count(ours, load, seed))
                for kill in range(KILLS):
                    while load.answers < BETWEEN * (kill + 1):
                        await asyncio.sleep(0.01)
                    before = refused_times(blind)
                    servers.kill()
                    whole = pb.RunRequest(model="small", lengths=[1], inputs=pb.Tensor(shape=(1, 3), data=bytes(12)))
                    assert (await stubs[kill % 2].Run(whole)).outputs
                    for _ in range(200):  # or it is back before anybody has asked for it
                        if refused_times(blind) > before:
                            break
                        await asyncio.sleep(0.01)
                    await asyncio.to_thread(servers.back)
                while load.answers < BETWEEN * (KILLS + 1):
                    await asyncio.sleep(0.01)
                load.over = True
    told, lost, refused = (sum(getattr(each, name) for each in blind) for name in ("told", "lost", "refused"))
    with capsys.disabled():
        print(f"\n{load.answers} answers, {KILLS} kills: {refused} refused, {told} told of lost steps, {lost} of lost sequences")
    assert refused > 0
