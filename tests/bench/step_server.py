"""A thousand live streams of a step model at a real server: its CPU for each feed, beside loops of onnxruntime in this process.

The streams are fed over one connection, many feeds under way at a time, as those of many callers behind a proxy are. What the
client takes is not counted.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import grpc

from cellserve.models.importers import ImportedStepModel
from cellserve.service.registry.repository.repository import Repository
from tests.bench import door_servers, table
from tests.bench.door_servers import ServerProcess
from tests.bench.sessions_traffic import FeedStream

MODEL = "voice"
IN_FLIGHT = (16, 256)


def compare(
    imported: ImportedStepModel, streams: int, samples: int, beside: Mapping[str, Callable[[], None]], rounds: int
) -> None:
    """Prints the table. beside: what is done in this process, a feed of each stream a call; the first is the floor."""
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "repository"
        Repository(repository).publish(MODEL, imported)
        with door_servers.cellserve(str(repository), "--session-directory", str(Path(folder) / "sessions")) as server:
            seconds = asyncio.run(_measured(server, streams, samples, beside, rounds))
    table.ratios(f"{streams} live streams of a step model at a server, a feed of each", seconds, streams, next(iter(beside)))


async def _measured(
    server: ServerProcess, streams: int, samples: int, beside: Mapping[str, Callable[[], None]], rounds: int
) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    async with grpc.aio.insecure_channel(server.address) as channel:
        stream = FeedStream(channel, MODEL, samples)
        await stream.open(streams)
        for round_number in range(rounds + 1):
            for name, run in beside.items():
                started = time.process_time()
                run()
                if round_number:
                    found.setdefault(name, []).append(time.process_time() - started)
            for in_flight in IN_FLIGHT:
                before = server.cpu_seconds()
                await stream.feed_all(in_flight)
                if round_number:
                    found.setdefault(f"server, {in_flight} feeds under way", []).append(server.cpu_seconds() - before)
        stream.close()
    return {name: median(values) for name, values in found.items()}
