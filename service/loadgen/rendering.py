"""A load test's report for people (rich tables) and for scripts (plain data)."""

from __future__ import annotations

import dataclasses
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cellserve.service.loadgen.load_test import Report
from cellserve.service.loadgen.statistics import Latencies, Summary


def as_data(report: Report) -> dict[str, Any]:
    """What --json prints: the fields of Report, Summary, Latencies and GeneratorLoad by their names."""
    return {**dataclasses.asdict(report), "clean": report.summary.clean, "generator_was_the_limit": report.complaint is not None}


def as_text(report: Report) -> tuple[RenderableType, ...]:
    """From top to bottom."""
    summary = report.summary
    return (
        _figures(summary),
        _latency_table(summary.latencies),
        Text(_answers(summary), style="green" if summary.clean else "bold red"),
        _generator(report),
    )


def _figures(summary: Summary) -> Text:
    lines = [
        f"{summary.requests} requests in {summary.seconds:.2f} s, {summary.offered_per_second:.1f} due per second",
        f"{summary.sequences_per_second:.1f} sequences/s   {summary.timesteps_per_second:.0f} time steps/s answered",
    ]
    lines += [f"answered by {name}: {count}" for name, count in summary.answered_by.items()]
    return Text("\n".join([*lines, "latency of the answers in ms, from the moment each request was due:"]))


def _latency_table(latencies: tuple[Latencies, ...]) -> Table:
    table = Table()
    table.add_column("time steps")
    for name in ("answers", "p50", "p90", "p99", "p99.9", "max"):
        table.add_column(name, justify="right")
    for row in latencies:
        seconds = (row.p50_seconds, row.p90_seconds, row.p99_seconds, row.p999_seconds, row.max_seconds)
        table.add_row(row.lengths, str(row.count), *(f"{value * 1e3:.2f}" for value in seconds))
    return table


def _answers(summary: Summary) -> str:
    refused = ", ".join(f"{count} {reason}" for reason, count in summary.errors.items())
    return (
        f"answers: {summary.right} right, {summary.wrong} wrong, {summary.unchecked} unchecked; "
        f"errors: {sum(summary.errors.values())}{f' ({refused})' if refused else ''}"
    )


def _generator(report: Report) -> Text:
    if report.complaint is not None:
        return Text(
            f"The generator itself was the limit: {report.complaint}. Lower the rate, or share it out.", style="bold yellow"
        )
    load = report.generator
    return Text(
        f"The generator kept up: {load.cpu_cores:.2f} cores used, requests left {load.send_lag_p99_seconds * 1e3:.1f} ms "
        f"after they were due (p99; at most {load.send_lag_max_seconds * 1e3:.1f} ms)."
    )
