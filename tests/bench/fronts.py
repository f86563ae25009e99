"""What each front costs: CPU of the server's process for each request, beside a bare grpc.aio server that parses the same
requests and sends replies of the same shape; the same client for all, which is not counted.

"door" is the real door over an engine that answers at once, "ours" the whole server.
"""

from __future__ import annotations

from functools import partial
from statistics import median

from tests.bench import door_servers, door_traffic, table, workloads
from tests.bench.door_servers import ServerProcess
from tests.bench.door_traffic import Traffic

FRONTS = ("grpc", "http2")
SEQUENCES = 256
REQUESTS = {64: 2048, 1: 256}  # of one round, by how many are in flight
ROUNDS = 7

COLUMNS = (
    "request",
    "echo",
    *(f"{what} {front}" for what in ("door", "ours") for front in FRONTS),
    "door/door",
    "ours/ours",
    "door/echo",
)


def run() -> None:
    workload = workloads.TINY
    sequences = workload.sequences(SEQUENCES)
    with (
        door_servers.repository_of(workload) as folder,
        door_servers.echo() as echo,
        door_servers.door_alone(folder, workload.classes, FRONTS[0]) as door_grpc,
        door_servers.door_alone(folder, workload.classes, FRONTS[1]) as door_http2,
        door_servers.cellserve(folder, "--front", FRONTS[0]) as ours_grpc,
        door_servers.cellserve(folder, "--front", FRONTS[1]) as ours_http2,
    ):
        servers = (echo, door_grpc, door_http2, ours_grpc, ours_http2)
        for in_flight, count in REQUESTS.items():
            rows = []
            for traffic in door_traffic.of(workload.name, sequences):
                requests = max(count // traffic.rows, in_flight)
                measures = [partial(_served_seconds, server, traffic, requests, in_flight) for server in servers]
                rounds = [[measure() for measure in measures] for _ in range(ROUNDS + 1)][1:]
                rows.append(_row(traffic, requests, rounds))
            table.show(f"fronts, {workload.name}: server CPU µs per request, {in_flight} in flight", COLUMNS, rows)


def _served_seconds(server: ServerProcess, traffic: Traffic, count: int, in_flight: int) -> float:
    start_seconds = server.cpu_seconds()
    traffic.drive(server.address, count, in_flight)
    return server.cpu_seconds() - start_seconds


def _row(traffic: Traffic, requests: int, rounds: list[list[float]]) -> list[str]:
    """Medians; ratios are taken within each round, since the machine's speed is not the same in all of them."""
    micros = [1e6 * median(values) / requests for values in zip(*rounds)]
    ratios = [
        median(of_http2 / of_grpc for of_http2, of_grpc in pairs)
        for pairs in (
            [(one[2], one[1]) for one in rounds],
            [(one[4], one[3]) for one in rounds],
            [(one[2], one[0]) for one in rounds],
        )
    ]
    return [traffic.name, *(f"{value:.0f}" for value in micros), *(f"{value:.2f}" for value in ratios)]
