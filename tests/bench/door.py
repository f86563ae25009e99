"""What the door costs: CPU of the server's process for each request, beside a bare grpc.aio server that parses the same
requests and sends replies of the same shape.

Compute is left out in two ways. "door alone" is the real door over an engine that answers at once. "engine alone" is the engine
on the same sequences, as many in flight, without a door; it sees fuller batches than behind a door, which takes its time. The
client is the same for all servers and is not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from threading import Semaphore

import numpy as np
import torch

from cellserve.models.network import Network
from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.engine import Engine
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.sequence import Work
from tests.bench import door_servers, door_traffic, table, workloads
from tests.bench.door_servers import ServerProcess
from tests.bench.door_traffic import Traffic
from tests.bench.engine import SETTINGS, Unobserved

SEQUENCES = 256
REQUESTS = {32: 1024, 1: 256}  # of one round, by how many are in flight
ROUNDS = 15

COLUMNS = ("request", "echo", "door alone", "ours", "engine alone", "door/echo", "ours/echo", "(ours - engine)/echo")


def run() -> None:
    torch.set_num_threads(1)
    workload = workloads.TINY
    sequences = workload.sequences(SEQUENCES)
    with (
        door_servers.repository_of(workload) as folder,
        door_servers.echo() as echo,
        door_servers.door_alone(folder, workload.classes) as door,
        door_servers.cellserve(folder) as ours,
        _EngineAlone(workload.network()) as engine,
    ):
        for in_flight, count in REQUESTS.items():
            rows = []
            for traffic in door_traffic.of(workload.name, sequences):
                requests = max(count // traffic.rows, in_flight)
                contenders = {
                    "echo": partial(_served, echo, traffic, requests, in_flight),
                    "door": partial(_served, door, traffic, requests, in_flight),
                    "ours": partial(_served, ours, traffic, requests, in_flight),
                    "engine": partial(engine.cpu_seconds, sequences, requests * traffic.rows, in_flight * traffic.rows),
                }
                rows.append(_row(traffic, requests, _samples(contenders)))
            table.show(f"door, {workload.name}: server CPU µs per request, {in_flight} in flight", COLUMNS, rows)


def _served(server: ServerProcess, traffic: Traffic, count: int, in_flight: int) -> float:
    start = server.cpu_seconds()
    traffic.drive(server.address, count, in_flight)
    return server.cpu_seconds() - start


def _samples(contenders: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """In turn, after one uncounted round."""
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    for round_number in range(ROUNDS + 1):
        for name, measure in contenders.items():
            seconds = measure()
            if round_number:
                samples[name].append(seconds)
    return samples


def _row(traffic: Traffic, requests: int, samples: dict[str, list[float]]) -> list[str]:
    """Medians; ratios are taken within each round, since the machine's speed is not the same in all of them."""
    rounds = list(zip(*(samples[name] for name in ("echo", "door", "ours", "engine")), strict=True))
    micros = (1e6 * median(values) / requests for values in zip(*rounds))
    ratios = zip(*((door / echo, ours / echo, (ours - engine) / echo) for echo, door, ours, engine in rounds))
    return [traffic.name, *(f"{value:.0f}" for value in micros), *(f"{median(values):.2f}" for values in ratios)]


class _EngineAlone:
    """An engine in this process that is given sequences as earlier ones are done."""

    def __init__(self, network: Network) -> None:
        self._room = Semaphore(0)
        self._key = VersionKey("bench", 1)
        self._engine = Engine(self._delivered, Unobserved(), SETTINGS, self._died)
        self._engine.add_version(self._key, network)

    def __enter__(self) -> _EngineAlone:
        self._engine.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.stop()

    def cpu_seconds(self, sequences: Sequence[np.ndarray], count: int, in_flight: int) -> float:
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
