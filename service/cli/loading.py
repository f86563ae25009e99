"""`cellserve load`: a load test against a running server. Says what was asked and prints what came; the test is in loadgen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cellserve.service.client import DEFAULT_TIMEOUT_SECONDS, DEFAULT_URL, AsyncClient, RetryPolicy
from cellserve.service.loadgen import lengths as length_distributions
from cellserve.service.loadgen import load_test
from cellserve.service.loadgen.drivers import Asking
from cellserve.service.loadgen.load_test import Plan, Report
from cellserve.service.loadgen.rendering import as_data, as_text
from cellserve.service.loadgen.samples import Sample, from_file, random_features, random_ids

_DEFAULT_DURATION_SECONDS = 10.0
_RANDOM_SAMPLES = 64
_NO_RETRIES = RetryPolicy(attempts=1)  # a refusal is a result here


def load(
    model: Annotated[str, typer.Option("--model", help="name, name/3 or name@canary.")],
    url: Annotated[str, typer.Option("--url", help="host:port, or grpcs://host:port for TLS.")] = DEFAULT_URL,
    rate: Annotated[
        float | None, typer.Option("--rate", min=0.001, help="Open loop: requests per second, Poisson, whatever the answers do.")
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option("--concurrency", min=1, help="Closed loop: callers, each with one request at a time. [default: 8]"),
    ] = None,
    duration_seconds: Annotated[
        float | None, typer.Option("--duration-seconds", min=0.001, help="How long to send. [default: 10, unless --requests]")
    ] = None,
    requests: Annotated[int | None, typer.Option("--requests", min=1, help="How many to send.")] = None,
    lengths: Annotated[
        str, typer.Option("--lengths", help="Time steps: fixed:N, uniform:MIN:MAX, lognormal:MEDIAN:MIN:MAX or mix.")
    ] = length_distributions.MIX,
    features: Annotated[int | None, typer.Option("--features", min=1, help="Random inputs of so many features per step.")] = None,
    vocabulary: Annotated[
        int | None, typer.Option("--vocabulary", min=1, help="Random ids below this, for a model that begins with an embedding.")
    ] = None,
    input_file: Annotated[
        Path | None,
        typer.Option("--input", help="Real inputs: .npz of `inputs`, and if it has them `lengths` and expected `outputs`."),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option("--samples", min=1, help="Different inputs to ask, again and again. [default: 64, or the whole file]"),
    ] = None,
    implementation: Annotated[
        str, typer.Option("--implementation", help="Force one: 0, 1, 2 or fused. [default: the server's]")
    ] = "",
    check: Annotated[
        bool, typer.Option(help="Compare each answer with the expected one, or with what the same input got alone beforehand.")
    ] = True,
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0.0, help="An answer a is right if |a-e| <= this * (1+|e|).")
    ] = 1e-5,
    timeout_seconds: Annotated[
        float, typer.Option("--timeout-seconds", min=0.001, help="Deadline of each request.")
    ] = DEFAULT_TIMEOUT_SECONDS,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same inputs, same due times.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Load-test a model on a running server: latency percentiles, throughput, and whether every answer stayed right.

    With --rate the requests leave when they are due and latency counts from that moment, so a server that stalls cannot hide
    it. Exit code 1 when an answer was wrong or a request was refused.

        cellserve load --model digits --input heldout.npz --rate 200
        cellserve load --model speech@canary --features 40 --concurrency 32 --requests 5000 --implementation fused
    """
    if rate is not None and concurrency is not None:
        raise typer.BadParameter("open loop (--rate) or closed loop (--concurrency), not both")
    if requests is None and duration_seconds is None:
        duration_seconds = _DEFAULT_DURATION_SECONDS
    plan = Plan(rate, concurrency or 8, requests, duration_seconds, seed)
    pool = _samples(lengths, features, vocabulary, input_file, samples, seed)
    report = asyncio.run(_test(plan, pool, url, model, implementation, timeout_seconds, tolerance, check))
    console = Console()
    if as_json:
        console.print_json(json.dumps(as_data(report)))
    else:
        console.print(as_text(report))
    if not report.summary.clean:
        raise typer.Exit(1)


def _samples(
    lengths: str, features: int | None, vocabulary: int | None, input_file: Path | None, count: int | None, seed: int
) -> list[Sample]:
    if [features, vocabulary, input_file].count(None) != 2:
        raise typer.BadParameter(
            "what to ask? Give one of --features N (random inputs), --vocabulary N (random ids), --input FILE.npz"
        )
    rng = np.random.default_rng(seed)
    try:
        if input_file is not None:
            return from_file(input_file, count)
        drawn = length_distributions.parse(lengths)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if features is not None:
        return random_features(rng, drawn, count or _RANDOM_SAMPLES, features)
    return random_ids(rng, drawn, count or _RANDOM_SAMPLES, vocabulary or 1)


async def _test(
    plan: Plan,
    samples: list[Sample],
    url: str,
    model: str,
    implementation: str,
    timeout_seconds: float,
    tolerance: float,
    check: bool,
) -> Report:
    async with AsyncClient(url, retry=_NO_RETRIES) as client:
        asking = Asking(client, model, implementation, timeout_seconds, tolerance)
        if check:
            with _bar("learning the right answers") as bar:
                samples = await load_test.learn(asking, samples, bar)
        else:
            samples = [Sample(sample.x) for sample in samples]
        with _bar("sending") as bar:
            return await load_test.run(plan, asking, samples, bar)


@contextmanager
def _bar(title: str) -> Iterator[Callable[[float], None]]:
    """A progress bar on standard error, on a terminal only; yields what moves it to a share of the whole."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(title, total=1.0)
        yield lambda share: progress.update(task, completed=share)
