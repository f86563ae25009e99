"""Latencies and differences, on answers that are known."""

from __future__ import annotations

import numpy as np
import pytest

from cellserve.service.cli.commands.timing import Comparison, Latency, timed
from cellserve.service.client import Prediction


def prediction(implementation: str, *rows: list[float]) -> Prediction:
    arrays = [np.array(row, np.float32) for row in rows]
    return Prediction(arrays, {"outputs": arrays}, {}, "digits", 1, implementation, 0.0, 0.001, 1)


def test_latencies_are_those_of_the_sample() -> None:
    latency = Latency.of([0.003, 0.001, 0.002, 0.100])
    assert (latency.requests, latency.min_seconds, latency.median_seconds) == (4, 0.001, 0.0025)
    assert 0.09 < latency.p99_seconds <= 0.100


def test_implementations_take_turns_and_the_first_round_is_not_counted() -> None:
    asked: list[str] = []

    def ask(label: str) -> Prediction:
        asked.append(label)
        return prediction(label, [1.0])

    measured = timed(ask, ("0", "1"), 3)
    assert asked == ["0", "1"] * 4
    assert {label: latency.requests for label, (_, latency) in measured.items()} == {"0": 3, "1": 3}


def test_differences_are_the_largest_of_any_number() -> None:
    latency = Latency.of([1.0])
    answers = {"0": ([1.0, 2.0], [3.0]), "1": ([1.0, 2.5], [3.0]), "fused": ([1.0, 2.0], [2.75])}
    comparison = Comparison("digits/1", {label: (prediction(label, *rows), latency) for label, rows in answers.items()}, "0", {})
    assert comparison.largest_difference == 0.5
    assert [comparison.difference(label) for label in answers] == pytest.approx([0.5, 0.5, 0.5])
    alone = Comparison("digits/1", {"0": (prediction("0", [1.0]), latency)}, "0", {})
    assert alone.largest_difference == alone.difference("0") == 0.0
