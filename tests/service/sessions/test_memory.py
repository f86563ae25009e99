"""What an idle sequence costs, by the interpreter's own count."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import numpy as np

from cellserve.models.description.state_layout import SEEN, StateColumns, StateLayout
from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.sequence import Work
from cellserve.service.sessions.sessions import Sessions
from cellserve.service.sessions.settings import SessionSettings
from tests.service.sessions.fakes import FakeVersions, feed, steps, version

UNITS = 64
LSTM = StateLayout(
    (
        StateColumns(0, "lstm", "h", 0, UNITS),
        StateColumns(0, "lstm", "c", UNITS, UNITS),
        StateColumns(0, "lstm", SEEN, 2 * UNITS, 1),
    ),
    2 * UNITS + 1,
)
SEQUENCES = 4_000


async def _run(works: Sequence[Work]) -> list[Delivery]:
    outputs = (np.zeros((1, UNITS), np.float32),)
    return [Delivery(1, outputs, np.ones(LSTM.width, np.float32), None, "2", 1, 1, 0.0, 0.0) for _ in works]


async def test_a_sequence_costs_little_more_than_its_state() -> None:
    """Even where its client counts positions, so that answers are remembered."""
    settings = SessionSettings(reply_bytes=335 * SEQUENCES)  # the default's share of each of a hundred thousand
    sessions = Sessions(_run, FakeVersions(version("m", 1, layout=LSTM)), settings)
    inputs = steps(1)
    tracemalloc.start()
    try:
        for position in range(2):
            asked = feed(inputs, start=not position, position=position)
            for number in range(SEQUENCES):
                await sessions.feed("m", f"sequence-{number:022}", asked)
        each_bytes = tracemalloc.get_traced_memory()[0] / SEQUENCES
    finally:
        tracemalloc.stop()
        await sessions.stop()
    assert each_bytes <= 1.3 * LSTM.width * 4 + 1024


async def test_rows_of_ended_sequences_are_used_again() -> None:
    sessions = Sessions(_run, FakeVersions(version("m", 1, layout=LSTM)), SessionSettings())
    await sessions.feed("m", "stays", feed(None, start=True))
    tracemalloc.start()
    try:
        for number in range(3000):
            await sessions.feed("m", str(number), feed(None, start=True))
            await sessions.feed("m", str(number), feed(None, end=True))
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()
        await sessions.stop()
