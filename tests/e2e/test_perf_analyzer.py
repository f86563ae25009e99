"""NVIDIA's perf_analyzer, unmodified, against a real server: unary and on a stream, closed and open loop, answers compared."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import numpy as np
import pytest

from deploy.demo.server import Address
from tests.e2e.metrics import totals
from tests.e2e.models import DIGITS, STEPS_WIDTH, SUMS
from tests.e2e.perf_analyzer import PerfAnalyzer
from tests.e2e.perf_reports import write_inputs

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        sys.platform != "linux" or platform.machine() != "x86_64", reason="perf_analyzer's binary is for Linux on x86-64"
    ),
]

REQUESTS = 400
LOADS = {
    "unary": ("--concurrency-range", "4"),
    "stream": ("--concurrency-range", "4", "--streaming"),
    "poisson": ("--request-rate-range", "100", "--request-distribution", "poisson"),
    "poisson on a stream": ("--request-rate-range", "100", "--request-distribution", "poisson", "--streaming"),
}
# With --async and several requests under way it compares an answer with the newest request's expectation, so not there.
UNCOMPARED = LOADS["poisson on a stream"]
AGREEMENT = 0.05
ROUNDING_MICROSECONDS = 1.0  # it prints whole microseconds


@pytest.fixture
def analyzer(server: Address, tmp_path: Path) -> PerfAnalyzer:
    return PerfAnalyzer(server, tmp_path, REQUESTS)


@pytest.fixture
def sums() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Sequences of 1 to 30 steps, and what their steps add up to."""
    numbers = np.random.default_rng(5)
    rows = [numbers.integers(-9, 10, (steps, STEPS_WIDTH)).astype(np.float32) for steps in numbers.integers(1, 31, 100)]
    return rows, [row.sum(axis=0) for row in rows]


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS)
def test_answers_and_agreement(
    analyzer: PerfAnalyzer, server: Address, sums: tuple[list[np.ndarray], list[np.ndarray]], load: tuple[str, ...]
) -> None:
    """Every answer is compared by perf_analyzer, bit by bit; what it says of the server's time, by us with Prometheus."""
    rows, expected = sums
    write_inputs(analyzer.inputs, rows, () if load is UNCOMPARED else expected)
    before = totals(server.metrics_url, SUMS.name)
    done = analyzer.run(SUMS.name, *load)
    assert done.returncode == 0, done.stdout + done.stderr
    report, counted = analyzer.report(), totals(server.metrics_url, SUMS.name) - before
    assert report.request_count >= REQUESTS
    assert counted.requests >= REQUESTS
    queue, compute = (1e6 * seconds / counted.requests for seconds in (counted.queue_seconds, counted.compute_seconds))
    assert report.queue_microseconds == pytest.approx(queue, rel=AGREEMENT, abs=ROUNDING_MICROSECONDS)
    assert report.compute_microseconds == pytest.approx(compute, rel=AGREEMENT, abs=ROUNDING_MICROSECONDS)


def test_wrong_answers_would_be_seen(analyzer: PerfAnalyzer, sums: tuple[list[np.ndarray], list[np.ndarray]]) -> None:
    rows, expected = sums
    write_inputs(analyzer.inputs, rows, [answer + 1 for answer in expected])
    done = analyzer.run(SUMS.name)
    assert done.returncode != 0
    assert "doesn't match expected output" in done.stdout + done.stderr


@pytest.mark.parametrize("load", [LOADS["unary"], LOADS["stream"]], ids=("unary", "stream"))
def test_digits_of_every_length(analyzer: PerfAnalyzer, questions: dict[str, np.ndarray], load: tuple[str, ...]) -> None:
    cut = [row[:length] for row, length in zip(questions["cut_inputs"], questions["cut_lengths"])]
    write_inputs(analyzer.inputs, [*cut, *questions["inputs"][:200]])
    done = analyzer.run(DIGITS, *load)
    assert done.returncode == 0, done.stdout + done.stderr
    assert analyzer.report().requests_per_second > 0
