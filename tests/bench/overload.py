"""Goodput under overload: what is answered in time, in time steps, of what a saturated server answers, when 2 to 20 times as much
is offered; and what else must hold then.

Server and generators are processes of their own, on the same cores. An open loop: nobody waits for an answer before asking
anew. Where the environment variable BEFORE names the `cellserve` of another build, the same traffic goes to that one too.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cellserve.service.pb import cellserve_pb2 as pb
from cellserve.service.pb import cellserve_pb2_grpc
from tests.bench import door_servers, table
from tests.bench.door_servers import ServerProcess
from tests.bench.overload_load import Plan
from tests.bench.workloads import SEED_TF, STACK_A, Workload

FACTORS = (2, 5, 10, 20)
FURTHER = (2, 10)  # with the other deadlines
SECONDS = 6.0
MOST_PER_SECOND = 8000.0  # calls that one generator can send on these cores and not be late
SHORT_TO_LONG = 9
SESSIONS = 8


@dataclass(frozen=True)
class _Traffic:
    workload: Workload
    name: str
    lengths: tuple[int, ...]

    def plan(self, server: ServerProcess, deadline_seconds: float, **more: Any) -> Plan:
        workload = self.workload
        return Plan(server.address, workload.name, workload.features, list(self.lengths), SECONDS, deadline_seconds, **more)


TRAFFIC = tuple(
    traffic
    for workload, steps in ((STACK_A, 400), (SEED_TF, 820))
    for traffic in (
        _Traffic(workload, f"{workload.name}, {steps} steps", (steps,)),
        _Traffic(workload, f"{workload.name}, nine of {steps // 10} to one of {steps}", (*[steps // 10] * SHORT_TO_LONG, steps)),
    )
)


def run() -> None:
    before = os.environ.get("BEFORE")
    builds = {"now": None, **({"before": before} if before else {})}
    rows = []
    for traffic in TRAFFIC:
        with door_servers.repository_of(traffic.workload) as folder:
            for build, command in builds.items():
                rows += _goodput(traffic, folder, build, command)
    table.show(
        f"goodput under overload, {SECONDS:.0f} s each, of the saturated rate (32 in flight)",
        [
            "traffic",
            "deadline s",
            "offered",
            "calls/s",
            "goodput",
            "short/long",
            "hinted",
            "too late",
            "refused p99 ms",
            "generator late ms",
        ],
        rows,
    )
    with door_servers.repository_of(STACK_A) as folder:
        _beside(TRAFFIC[0], folder)


def _goodput(traffic: _Traffic, folder: str, build: str, command: str | None) -> list[list[str]]:
    rows = []
    with _serving(folder, command) as server:
        full = _saturated(traffic, server)
        further = [(seconds, factor) for seconds in (0.5, 2.0) for factor in FURTHER]
        cells = [(1.0, factor) for factor in FURTHER] if command else [*[(1.0, factor) for factor in FACTORS], *further]
        for deadline, factor in cells:
            if factor * full.calls_per_second > MOST_PER_SECOND:
                continue
            told = _ask(traffic.plan(server, deadline, rate_per_second=factor * full.calls_per_second))
            rows.append([f"{traffic.name} ({build})", f"{deadline:g}", f"{factor} ×", *_cells(told, full)])
            time.sleep(1.0)
        calm = _ask(traffic.plan(server, 1.0, rate_per_second=0.9 * full.calls_per_second))
        rows.append([f"{traffic.name} ({build})", "1", "0.9 ×", *_cells(calm, full)])
    return rows


@dataclass(frozen=True)
class _Saturated:
    calls_per_second: float
    steps_per_second: float


def _saturated(traffic: _Traffic, server: ServerProcess) -> _Saturated:
    """The median of three."""
    told = [_ask(replace(traffic.plan(server, 30.0), seconds=3.0, settle_seconds=1.5)) for _ in range(3)]
    return _Saturated(
        median(sum(each["answered"].values()) / each["seconds"] for each in told),
        median(_steps(each["answered"]) / each["seconds"] for each in told),
    )


def _steps(calls: dict[str, int]) -> int:
    return sum(int(steps) * number for steps, number in calls.items())


def _cells(told: dict[str, Any], full: _Saturated) -> list[str]:
    calls, answered = told["calls"], told["answered"]
    parts = [answered.get(steps, 0) / number for steps, number in sorted(calls.items(), key=lambda each: int(each[0]))]
    unanswered = max(1, sum(calls.values()) - sum(answered.values()))
    return [
        f"{sum(calls.values()) / told['seconds']:.0f}",
        f"{_steps(answered) / told['seconds'] / full.steps_per_second:.2f}",
        "" if len(parts) == 1 else f"{parts[0]:.2f}/{parts[1]:.2f}",
        f"{told['hinted'] / unanswered:.3f}",
        f"{told['codes'].get('DEADLINE_EXCEEDED', 0) / unanswered:.3f}",
        f"{told['refusal_p99_seconds'] * 1e3:.0f}",
        f"{told['late_seconds'] * 1e3:.0f}",
    ]


def _beside(traffic: _Traffic, folder: str) -> None:
    """Health, feeds of live sequences, those who come back as they were told, and memory, beside ten times too much."""
    with _serving(folder, None) as server:
        full = _saturated(traffic, server)
        storm = traffic.plan(server, 1.0, rate_per_second=10 * full.calls_per_second)
        alone = asyncio.run(_probes(server, traffic, SECONDS))
        resident = _resident_bytes(server)
        with _asking(storm) as told:
            time.sleep(storm.settle_seconds)
            beside = asyncio.run(_probes(server, traffic, SECONDS - 1.0))
        storm_told = told[0]
        grown = _resident_bytes(server) - resident
        time.sleep(1.0)
        after = _ask(traffic.plan(server, 1.0, rate_per_second=0.4 * full.calls_per_second, settle_seconds=0.0))
        returning = {}
        for factor in (2, 5):
            returning[factor] = _ask(
                replace(traffic.plan(server, 1.0, rate_per_second=factor * full.calls_per_second, following=True), seconds=12.0)
            )
            time.sleep(1.0)
    rows = [[name, f"{alone[name]:.1f}", f"{beside[name]:.1f}", f"{beside[name] / alone[name]:.1f}"] for name in alone]
    table.show(f"beside 10 × {traffic.name}: p99 in ms", ["probe", "alone", "beside", "ratio"], rows)
    print(f"  goodput meanwhile {_cells(storm_told, full)[1]}, memory grew by {grown / 2**20:.0f} MiB")
    print(f"  a second after it, at 0.4 ×: {sum(after['answered'].values())} of {sum(after['calls'].values())} answered")
    for factor, each in returning.items():
        part = each["returned_answered"] / max(1, each["returned"])
        print(f"  {factor} × where all come again once, as told: {each['returned']} came, {part:.2f} of them were answered")


async def _probes(server: ServerProcess, traffic: _Traffic, seconds: float) -> dict[str, float]:
    """p99 in milliseconds, each on a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with (
        grpc.aio.insecure_channel(server.address, options=options) as one,
        grpc.aio.insecure_channel(server.address, options=options) as other,
    ):
        health, feeds = await asyncio.gather(
            _health(one, seconds),
            _feeds(other, traffic.workload, seconds),
        )
    return {"health": float(np.percentile(health, 99)) * 1e3, "feed of a live sequence": float(np.percentile(feeds, 99)) * 1e3}


async def _health(channel: grpc.aio.Channel, seconds: float) -> list[float]:
    stub = health_pb2_grpc.HealthStub(channel)
    waits, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        await stub.Check(health_pb2.HealthCheckRequest(), timeout=5.0)
        waits.append(time.monotonic() - began)
        await asyncio.sleep(0.02)
    return waits


async def _feeds(channel: grpc.aio.Channel, workload: Workload, seconds: float) -> list[float]:
    stub = cellserve_pb2_grpc.SequencesStub(channel)  # type: ignore[no-untyped-call]
    waits: list[float] = []
    end = time.monotonic() + seconds
    step = pb.Tensor(shape=(1, workload.features), data=np.ones((1, workload.features), np.float32).tobytes())

    async def one() -> None:
        opened = await stub.Open(pb.OpenRequest(model=workload.name), timeout=5.0)
        while time.monotonic() < end:
            began = time.monotonic()
            request = pb.FeedRequest(model=workload.name, sequence_id=opened.sequence_id, inputs=step)
            await stub.Feed(request, timeout=5.0)
            waits.append(time.monotonic() - began)
            await asyncio.sleep(0.05)

    await asyncio.gather(*(one() for _ in range(SESSIONS)))
    return waits


def _resident_bytes(server: ServerProcess) -> int:
    return int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _ask(plan: Plan) -> dict[str, Any]:
    with _asking(plan) as told:
        pass
    return told[0]


@contextmanager
def _asking(plan: Plan) -> Iterator[list[dict[str, Any]]]:
    """A generator under way; what it told is in the list after the block."""
    command = [sys.executable, "-m", "tests.bench.overload_load", json.dumps(asdict(plan))]
    told: list[dict[str, Any]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as generator:
        yield told
        out, _ = generator.communicate()
    if generator.returncode:
        raise RuntimeError(f"the generator ended with {generator.returncode}")
    told.append(json.loads(out))


@contextmanager
def _serving(folder: str, command: str | None) -> Iterator[ServerProcess]:
    """command: the `cellserve` of another build; None: this one."""
    if command is None:
        with door_servers.cellserve(folder, "--log-level", "error") as server:
            yield server
        return
    options = ("--host", "127.0.0.1", "--port", "0", "--metrics-port", "0", "--log-level", "error")
    server = ServerProcess([command, "serve", "--repository", folder, *options])
    try:
        yield server
    finally:
        server.stop()
