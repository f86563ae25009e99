"""NVIDIA's perf_analyzer, unmodified, in sequence mode: it is told by the model's settings to send live sequences.

It writes down what it sent and what it got, so that each answer can be held to the sum of everything its sequence was fed.
"""

from __future__ import annotations

import platform
import sys
from collections import Counter, defaultdict
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest

from deploy.demo.server import Address
from tests.e2e.metrics import session_events
from tests.e2e.models import LIVE_SUMS, STEPS_WIDTH
from tests.e2e.perf_analyzer import PerfAnalyzer
from tests.e2e.perf_reports import Exchange, write_sequences

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        sys.platform != "linux" or platform.machine() != "x86_64", reason="perf_analyzer's binary is for Linux on x86-64"
    ),
]

REQUESTS = 600
MOST_REQUESTS = 9  # of one sequence
CONCURRENT = 6
UNARY, STREAM = ("--async",), ("--async", "--streaming")
CLOSED_LOOP = ("--concurrency-range", str(CONCURRENT))
OPEN_LOOP = ("--request-rate-range", "300", "--num-of-sequences", str(CONCURRENT))
LOADS = {
    "unary": (*UNARY, *CLOSED_LOOP),
    "sync": ("--sync", *CLOSED_LOOP),
    "stream": (*STREAM, *CLOSED_LOOP),
    "rate": (*UNARY, *OPEN_LOOP, "--serial-sequences"),
    "rate on a stream": (*STREAM, *OPEN_LOOP),
}
Sequences = list[list[np.ndarray]]


@pytest.fixture
def analyzer(server: Address, tmp_path: Path) -> PerfAnalyzer:
    return PerfAnalyzer(server, tmp_path, REQUESTS)


@pytest.fixture
def sequences() -> Sequences:
    """Of 2 to MOST_REQUESTS requests, each of 1 to 5 steps; the longest first."""
    numbers = np.random.default_rng(8)
    counts = [MOST_REQUESTS, *numbers.integers(2, MOST_REQUESTS + 1, 20)]
    return [
        [numbers.integers(-9, 10, (steps, STEPS_WIDTH)).astype(np.float32) for steps in numbers.integers(1, 6, count)]
        for count in counts
    ]


def sums_after_each(pieces: list[np.ndarray]) -> list[np.ndarray]:
    return list(accumulate(piece.sum(axis=0) for piece in pieces))


def by_sequence(exchanges: list[Exchange]) -> dict[int, list[Exchange]]:
    grouped = defaultdict(list)
    for exchange in exchanges:
        grouped[exchange.sequence_id].append(exchange)
    return grouped


def require_sums(exchanges: list[Exchange]) -> None:
    """Each answer is the sum of all steps that this sequence had been fed when it was given."""
    fed = [np.reshape(exchange.inputs, (-1, STEPS_WIDTH)).astype(np.float32) for exchange in exchanges]
    np.testing.assert_array_equal([exchange.outputs for exchange in exchanges], sums_after_each(fed))


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS)
def test_every_answer_is_that_for_all_that_was_fed(
    analyzer: PerfAnalyzer, server: Address, sequences: Sequences, load: tuple[str, ...]
) -> None:
    write_sequences(analyzer.inputs, sequences)
    before = session_events(server.metrics_url, LIVE_SUMS.name)
    done = analyzer.run(LIVE_SUMS.name, *load)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Sequence count" in done.stdout  # it says so in this mode alone
    told = by_sequence(analyzer.exchanges())
    for exchanges in told.values():
        require_sums(exchanges)
    counted = session_events(server.metrics_url, LIVE_SUMS.name) - before
    assert sum(map(len, told.values())) >= REQUESTS
    assert max(map(len, told.values())) == MOST_REQUESTS
    assert counted == Counter(started=len(told), ended=len(told))


@pytest.mark.parametrize("way", [UNARY, STREAM], ids=["unary", "stream"])
def test_as_long_as_asked_and_under_few_ids(
    analyzer: PerfAnalyzer, server: Address, sequences: Sequences, way: tuple[str, ...]
) -> None:
    """Ids are used again when their sequences have ended: the sums begin at zero each time."""
    write_sequences(analyzer.inputs, sequences)
    length = 25
    before = session_events(server.metrics_url, LIVE_SUMS.name)
    lengths = ("--sequence-length", str(length), "--sequence-length-variation", "0")
    done = analyzer.run(LIVE_SUMS.name, *way, *CLOSED_LOOP, *lengths, "--sequence-id-range", f"70:{70 + CONCURRENT}")
    assert done.returncode == 0, done.stdout + done.stderr
    told = by_sequence(analyzer.exchanges())
    assert sorted(told) == [*range(70, 70 + CONCURRENT)]
    for exchanges in told.values():
        assert len(exchanges) >= REQUESTS // CONCURRENT - 1
        for start in range(0, len(exchanges), length):
            require_sums(exchanges[start : start + length])
    counted = session_events(server.metrics_url, LIVE_SUMS.name) - before
    assert counted["started"] == counted["ended"] >= REQUESTS // length
    assert set(counted) == {"started", "ended"}


@pytest.mark.parametrize("way", [UNARY, STREAM], ids=["unary", "stream"])
def test_it_compares_answers_itself(analyzer: PerfAnalyzer, sequences: Sequences, way: tuple[str, ...]) -> None:
    """Bit by bit. Sequences under way at the end of a run it ends by jumping to their last step, whose answer then is another
    one: it says so of them, and the run has succeeded all the same.
    """
    write_sequences(analyzer.inputs, sequences, map(sums_after_each, sequences))
    done = analyzer.run(LIVE_SUMS.name, *way, *CLOSED_LOOP)
    assert done.returncode == 0, done.stdout + done.stderr
    assert analyzer.report().request_count >= REQUESTS


@pytest.mark.parametrize("way", [UNARY, STREAM], ids=["unary", "stream"])
def test_answers_without_what_was_fed_before_would_be_seen(
    analyzer: PerfAnalyzer, sequences: Sequences, way: tuple[str, ...]
) -> None:
    write_sequences(analyzer.inputs, sequences, [[piece.sum(axis=0) for piece in pieces] for pieces in sequences])
    done = analyzer.run(LIVE_SUMS.name, *way, *CLOSED_LOOP)
    assert done.returncode != 0
    assert "doesn't match expected output" in done.stdout + done.stderr
