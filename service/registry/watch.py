"""Tells when the repository may have changed: at file events, and every few seconds where the file system sends none.

Knows no models; whoever listens reads the disk again and compares.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from watchfiles import Change, awatch

RESCAN_SECONDS: Final = 5.0  # network file systems and some container mounts send no events
_GROUPING_MILLISECONDS: Final = 200  # events closer together than this are told once

log = logging.getLogger(__name__)


async def regularly(stop: asyncio.Event, seconds: float) -> AsyncIterator[None]:
    """Yields every so often, until `stop` is set."""
    while not await is_set_within(stop, seconds):
        yield


async def changes(root: Path, stop: asyncio.Event, rescan_seconds: float = RESCAN_SECONDS) -> AsyncIterator[None]:
    """Yields whenever `root` may have changed, at least every `rescan_seconds`, until `stop` is set."""

    def is_visible(change: Change, path: str) -> bool:
        return not any(part.startswith(".") for part in Path(path).relative_to(absolute).parts)

    absolute = root.resolve()
    try:
        async for _ in awatch(
            absolute,
            watch_filter=is_visible,
            debounce=_GROUPING_MILLISECONDS,
            rust_timeout=int(rescan_seconds * 1000),
            yield_on_timeout=True,
            stop_event=stop,
        ):
            yield
    except OSError as error:
        log.warning("no file events for %s (%s); it is read every %g s instead", root, error, rescan_seconds)
        async for _ in regularly(stop, rescan_seconds):
            yield


async def is_set_within(stop: asyncio.Event, seconds: float) -> bool:
    """Waits for it, so long at most."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True
