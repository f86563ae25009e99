"""How long the event loop makes others wait while the engine computes: ServerLive, which asks nothing of the engine, alone and
beside 64 sequences that are always under way.

The client of the load takes from the same cores, so the same call to a bare `grpc.aio` server in a process of its own, beside the
same load, shows what is the machine's part.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import numpy as np

from cellserve.service.pb import open_inference_pb2 as pb
from cellserve.service.pb import open_inference_pb2_grpc as pb_grpc
from tests.bench import door_servers, table, workloads
from tests.bench.workloads import Workload

IN_FLIGHT = 64
CALLS = 600
PAUSE_SECONDS = 0.003
COLUMNS = ("ServerLive", "alone p50 ms", "p99", "beside p50 ms", "p99")


def run() -> None:
    for workload in (workloads.STACK_A, workloads.SEED_TF):
        with (
            door_servers.repository_of(workload) as folder,
            door_servers.cellserve(folder) as ours,
            door_servers.echo() as echo,
            asking(ours.address) as ask_ours,
            asking(echo.address) as ask_echo,
        ):
            contenders = {"cellserve": ask_ours, "a bare server beside it": ask_echo}
            alone = {name: latencies_ms(ask) for name, ask in contenders.items()}
            with loaded(ours.address, workload):
                beside = {name: latencies_ms(ask) for name, ask in contenders.items()}
        rows = [[name, *quantiles(alone[name]), *quantiles(beside[name])] for name in contenders]
        table.show(f"event loop, beside {IN_FLIGHT} sequences in flight, {workload.name}", COLUMNS, rows)


@contextmanager
def asking(address: str) -> Iterator[pb_grpc.GRPCInferenceServiceStub]:
    with grpc.insecure_channel(address) as channel:
        yield pb_grpc.GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]


@contextmanager
def loaded(address: str, workload: Workload) -> Iterator[None]:
    arguments = (address, workload.name, str(workload.features), str(IN_FLIGHT))
    with door_servers.running("tests.bench.sessions_load", *arguments):
        time.sleep(1.0)  # until costs have been learnt
        yield


def latencies_ms(stub: pb_grpc.GRPCInferenceServiceStub, calls: int = CALLS) -> list[float]:
    latencies = []
    for _ in range(calls):
        time.sleep(PAUSE_SECONDS)
        start = time.perf_counter()
        stub.ServerLive(pb.ServerLiveRequest())
        latencies.append(1000 * (time.perf_counter() - start))
    return latencies


def quantiles(latencies_ms: list[float]) -> list[str]:
    return [f"{value:.2f}" for value in np.quantile(latencies_ms, (0.5, 0.99))]
