"""One of two replicas killed again and again under a load of NVIDIA's client, unary, which never asks twice.

Between them stands the Envoy of `cellserve cluster up`. Every answer is held to the oracle's, so that a step which was applied
twice or not at all would be seen. REPLICA_KILLS says how often.
"""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import grpc
import numpy as np
import pytest

from cellserve.service.pb import cellserve_pb2 as pb
from cellserve.service.pb import cellserve_pb2_grpc
from tests.e2e.foreign import ForeignClient
from tests.e2e.replicas import replicas, require_right
from tests.e2e.venvs import interpreter
from tests.service.cluster.running import Running, cluster, missing
from tests.service.valkey_server import binary, valkey

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(binary() is None, reason="no Valkey on this machine")]

KILLS = int(os.environ.get("REPLICA_KILLS", 20))
SEQUENCES, FEEDS = 40, 20
PAUSE_SECONDS = 0.005
AT_ONCE = 200  # feeds of one sequence from both sides


def answered(running: Running) -> int:
    return sum(running.counted(each, "cellserve_requests_total") for each in range(2))


@pytest.mark.skipif(missing() is not None, reason="no Envoy on this machine")
def test_no_death_of_a_replica_is_seen_by_a_client_that_never_retries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seconds: list[float] = []
    remembered = 0
    client = ForeignClient(interpreter("tritonclient"), "triton_replicas.py", ())
    with cluster(tmp_path) as running, ThreadPoolExecutor(1) as pool:
        for kill in range(KILLS):
            which, seed, before = kill % 2, 1000 * (kill + 1), answered(running)
            arguments = ("walk", running.url, str(seed), str(SEQUENCES), str(FEEDS), str(PAUSE_SECONDS))
            walking = pool.submit(client.run, *arguments)
            wanted = SEQUENCES * FEEDS * (1 + kill % 3) // 4
            while answered(running) < before + wanted and not walking.done():
                time.sleep(0.01)
            remembered += running.repeated(which)
            running.kill(which)
            running.wait_for(which, kill // 2 + 1)
            for told in walking.result():
                assert not [answer for answer in told["answers"] if isinstance(answer, str)]
                steps = np.random.default_rng(told["seed"]).normal(size=(FEEDS, 1, 1, 3)).astype(np.float32)
                require_right(told["answers"], steps.reshape(FEEDS, 3))
                seconds += told["seconds"]
        remembered += sum(map(running.repeated, range(2)))
    with capsys.disabled():
        print(
            f"\n{KILLS} kills, {len(seconds)} feeds, {remembered} answers remembered; "
            f"longest feed {max(seconds) / median(seconds):.0f} times the median"
        )
    assert remembered > 0 or KILLS < 20  # the proof that it was needed


async def test_one_sequence_fed_from_both_sides_at_once_takes_every_feed_once(tmp_path: Path) -> None:
    steps = np.random.default_rng(3).normal(size=(AT_ONCE, 3)).astype(np.float32)
    with valkey(tmp_path / "valkey") as store, replicas(tmp_path, store) as servers:
        async with (
            grpc.aio.insecure_channel(servers.addresses[0]) as one,
            grpc.aio.insecure_channel(servers.addresses[1]) as two,
        ):
            stubs = [cellserve_pb2_grpc.SequencesStub(channel) for channel in (one, two)]
            await stubs[0].Open(pb.OpenRequest(model="small", sequence_id="both"))
            waiting = iter(range(AT_ONCE))
            applied: dict[int, tuple[int, list[float]]] = {}  # by position: which step, and the answer

            async def feed(stub: cellserve_pb2_grpc.SequencesStub) -> None:
                for number in waiting:
                    inputs = pb.Tensor(shape=(1, 3), data=steps[number].tobytes())
                    reply = await stub.Feed(pb.FeedRequest(model="small", sequence_id="both", inputs=inputs))
                    assert reply.position not in applied
                    answer = np.frombuffer(reply.answer.outputs[0].tensor.data, np.float32)
                    applied[reply.position] = (number, answer.tolist())

            await asyncio.gather(*(feed(stub) for stub in stubs for _ in range(4)))
            assert sorted(applied) == list(range(1, AT_ONCE + 1))
            order = [applied[position] for position in sorted(applied)]
            require_right([answer for _, answer in order], steps[[number for number, _ in order]])
