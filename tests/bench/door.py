"""What the door costs: CPU of the server's process for each request, beside a bare grpc.aio server that parses the same
requests and sends replies of the same shape, and beside the engine alone on the same sequences, as many in flight.

The door's own cost is what is left of ours without the engine's. The client is the same for both servers and is not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from threading import Semaphore

import torch

from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.engine import Engine
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.sequence import Work
from tests.bench import door_servers, door_traffic, table, workloads
from tests.bench.door_traffic import Traffic
from tests.bench.engine import SETTINGS, Unobserved

SEQUENCES = 256
REQUESTS = {32: 2048, 1: 512}  # of one round, by how many are in flight
ROUNDS = 5


def run() -> None:
    torch.set_num_threads(1)
    workload = workloads.TINY
    sequences = workload.sequences(SEQUENCES)
    alone = _EngineAlone(workload.network())
    try:
        with door_servers.echo() as echo, door_servers.cellserve(workload) as ours:
            for in_flight, count in REQUESTS.items():
                rows = []
                for traffic in door_traffic.of(workload.name, sequences)[:3]:
                    requests = max(count // traffic.rows, in_flight)
                    contenders = {
                        "echo": lambda t=traffic, n=requests: _served(echo, t, n, in_flight),
                        "ours": lambda t=traffic, n=requests: _served(ours, t, n, in_flight),
                        "engine": lambda t=traffic, n=requests: alone.cpu_seconds(sequences, n * t.rows, in_flight * t.rows),
                    }
                    rows.append(_row(traffic, requests, _medians(contenders)))
                table.show(
                    f"door, {workload.name}: server CPU µs per request, {in_flight} in flight",
                    ["request", "echo", "ours", "engine alone", "ours/echo", "(ours - engine)/echo"],
                    rows,
                )
    finally:
        alone.stop()


def _served(server: door_servers.ServerProcess, traffic: Traffic, count: int, in_flight: int) -> float:
    start = server.cpu_seconds()
    traffic.drive(server.address, count, in_flight)
    return server.cpu_seconds() - start


def _medians(contenders: dict[str, Callable[[], float]]) -> dict[str, float]:
    """In turn, after one uncounted round."""
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    for round_number in range(ROUNDS + 1):
        for name, measure in contenders.items():
            seconds = measure()
            if round_number:
                samples[name].append(seconds)
    return {name: median(values) for name, values in samples.items()}


def _row(traffic: Traffic, requests: int, seconds: dict[str, float]) -> list[str]:
    echo, ours, engine = (1e6 * seconds[name] / requests for name in ("echo", "ours", "engine"))
    return [traffic.name, f"{echo:.0f}", f"{ours:.0f}", f"{engine:.0f}", f"{ours / echo:.2f}", f"{(ours - engine) / echo:.2f}"]


class _EngineAlone:
    """An engine in this process that is given sequences as earlier ones are done."""

    def __init__(self, network) -> None:
        self._room = Semaphore(0)
        self._key = VersionKey("bench", 1)
        self._engine = Engine(self._delivered, Unobserved(), SETTINGS, self._died)
        self._engine.add_version(self._key, network)
        self._engine.start()

    def stop(self) -> None:
        self._engine.stop()

    def cpu_seconds(self, sequences, count: int, in_flight: int) -> float:
        """Of `count` sequences, `in_flight` at a time."""
        start = time.process_time()
        for i in range(count):
            if i >= in_flight:
                self._room.acquire()
            self._engine.submit(Work(self._key, (sequences[i % len(sequences)],)))
        for _ in range(min(count, in_flight)):
            self._room.acquire()
        return time.process_time() - start

    def _delivered(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            if delivery.error is not None:
                raise delivery.error
        self._room.release(len(deliveries))

    def _died(self, cause: BaseException) -> None:
        raise cause
