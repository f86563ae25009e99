import asyncio
from pathlib import Path

from cellserve.service.registry.watch import changes

PATIENCE_SECONDS = 60.0


async def test_it_tells_of_visible_changes_and_stops(tmp_path: Path) -> None:
    stop = asyncio.Event()
    told = asyncio.Event()

    async def listen() -> None:
        async for _ in changes(tmp_path, stop, rescan_seconds=0.2):
            told.set()

    listener = asyncio.create_task(listen())
    async with asyncio.timeout(PATIENCE_SECONDS):
        await told.wait()  # the regular rescan, without any event
        (tmp_path / "model").mkdir()
        told.clear()
        await told.wait()
        stop.set()
        await listener


async def test_without_file_events_it_rescans(tmp_path: Path) -> None:
    stop = asyncio.Event()
    rescans = 0
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for _ in changes(tmp_path / "missing", stop, rescan_seconds=0.01):
            rescans += 1
            if rescans == 3:
                stop.set()
    assert rescans == 3
