"""Workers as threads of the server or as processes of their own, behind the same door, with the same traffic.

CPU seconds of all processes and the rate with 64 requests in flight, and how long ServerLive takes beside them.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from statistics import median

from tests.bench import door_servers, door_traffic, event_loop, table, workloads
from tests.bench.door_servers import ServerProcess
from tests.bench.door_traffic import Traffic

ARRANGEMENTS = (("threads", 1), ("threads", 2), ("processes", 1), ("processes", 2))
COUNTS = {"stack-a": 640, "seed-tf": 640, "tiny": 2048}
IN_FLIGHT = 64
ROUNDS = 3
CALLS = 200
COLUMNS = ("workers", "CPU s / 1000", "ratio", "sequences/s", "ratio", "ServerLive p50 ms", "p99")


def run() -> None:
    for workload in workloads.ALL:
        with ExitStack() as stack:
            folder = stack.enter_context(door_servers.repository_of(workload))
            traffic = door_traffic.of(workload.name, workload.sequences(256))[0]
            servers = {
                f"{count} {kind}": stack.enter_context(
                    door_servers.running("tests.bench.arrangement_server", folder, kind, str(count))
                )
                for kind, count in ARRANGEMENTS
            }
            measured = _measured(servers, traffic, COUNTS[workload.name])
            waits = {}
            for name, server in servers.items():
                with event_loop.asking(server.address) as stub, event_loop.loaded(server.address, workload):
                    waits[name] = event_loop.quantiles(event_loop.latencies_ms(stub, CALLS))
        first_cpu, first_rate = next(iter(measured.values()))
        rows = [
            [name, f"{cpu:.3f}", f"{cpu / first_cpu:.2f}", f"{rate:.0f}", f"{rate / first_rate:.2f}", *waits[name]]
            for name, (cpu, rate) in measured.items()
        ]
        table.show(f"arrangements of workers, {IN_FLIGHT} in flight, {workload.name}", COLUMNS, rows)


def _measured(servers: dict[str, ServerProcess], traffic: Traffic, count: int) -> dict[str, tuple[float, float]]:
    """CPU seconds per 1000 sequences and sequences per second, medians of rounds in which the servers take turns."""
    costs: dict[str, list[float]] = {name: [] for name in servers}
    rates: dict[str, list[float]] = {name: [] for name in servers}
    for round_number in range(ROUNDS + 1):
        for name, server in servers.items():
            cpu, start = server.cpu_seconds_with_children(), time.perf_counter()
            traffic.drive(server.address, count, IN_FLIGHT)
            if round_number:
                rates[name].append(count / (time.perf_counter() - start))
                costs[name].append((server.cpu_seconds_with_children() - cpu) / count * 1000)
    return {name: (median(costs[name]), median(rates[name])) for name in servers}
