"""What traces cost: CPU of the server's process for each request, with none, with the usual share and with every request traced.

The collector is in this process and is not counted.
"""

from __future__ import annotations

from contextlib import ExitStack
from statistics import median

from tests.bench import door_servers, door_traffic, table, workloads
from tests.service.tracing.collector import collecting

SEQUENCES = 256
REQUESTS, IN_FLIGHT = 1024, 32
ROUNDS = 11
SHARES = {"off": None, "1 of 100": 0.01, "all": 1.0}
COLUMNS = ("request", *SHARES, "1 of 100 / off", "all / off")


def run() -> None:
    workload = workloads.TINY
    sequences = workload.sequences(SEQUENCES)
    with ExitStack() as stack:
        folder = stack.enter_context(door_servers.repository_of(workload))
        collector = stack.enter_context(collecting())
        servers = {
            name: stack.enter_context(door_servers.cellserve(folder, *_options(share, collector.url)))
            for name, share in SHARES.items()
        }
        rows = []
        for traffic in door_traffic.of(workload.name, sequences):
            requests = max(REQUESTS // traffic.rows, IN_FLIGHT)
            rounds = []
            for number in range(ROUNDS + 1):
                samples = []
                for server in servers.values():
                    began = server.cpu_seconds()
                    traffic.drive(server.address, requests, IN_FLIGHT)
                    samples.append((server.cpu_seconds() - began) / requests)
                if number:  # the first one warms
                    rounds.append(samples)
            micros = [f"{1e6 * median(values):.0f}" for values in zip(*rounds)]
            ratios = [f"{median(values):.2f}" for values in zip(*((some / off, every / off) for off, some, every in rounds))]
            rows.append([traffic.name, *micros, *ratios])
        table.show(f"traces, {workload.name}: server CPU µs per request, {IN_FLIGHT} in flight", COLUMNS, rows)


def _options(share: float | None, collector: str) -> tuple[str, ...]:
    return () if share is None else ("--trace-endpoint", collector, "--trace-share", str(share))
