"""What `cellserve load` does once its options are read: draws or reads inputs, runs the test, prints the report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from cellserve.service.cli.output import print_json
from cellserve.service.cli.server_options import Server
from cellserve.service.client import AsyncClient, RetryPolicy
from cellserve.service.errors import InvalidInput
from cellserve.service.loadgen import lengths as length_distributions
from cellserve.service.loadgen import load_test
from cellserve.service.loadgen.drivers import Asking
from cellserve.service.loadgen.load_test import Plan, Report
from cellserve.service.loadgen.rendering import as_data, as_text
from cellserve.service.loadgen.samples import Sample, from_file, random_features, random_ids

_RANDOM_SAMPLES = 64
_NO_RETRIES = RetryPolicy(attempts=1)  # a refusal is a result here


@dataclass(frozen=True, slots=True)
class Inputs:
    """What to ask: exactly one of features, vocabulary and file. count None: 64 random ones, or the whole file."""

    lengths: str
    features: int | None
    vocabulary: int | None
    file: Path | None
    count: int | None

    def samples(self, seed: int) -> list[Sample]:
        """Raises InvalidInput."""
        if [self.features, self.vocabulary, self.file].count(None) != 2:
            raise InvalidInput(
                "what to ask? Give one of --features N (random inputs), --vocabulary N (random ids), --input FILE.npz"
            )
        rng = np.random.default_rng(seed)
        try:
            if self.file is not None:
                return from_file(self.file, self.count)
            lengths = length_distributions.parse(self.lengths)
        except ValueError as error:
            raise InvalidInput(str(error)) from error
        if self.features is not None:
            return random_features(rng, lengths, self.count or _RANDOM_SAMPLES, self.features)
        return random_ids(rng, lengths, self.count or _RANDOM_SAMPLES, self.vocabulary or 1)


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask, and how. check: whether answers are compared at all."""

    server: Server
    model: str
    implementation: str
    timeout_seconds: float
    tolerance: float
    check: bool


def run(plan: Plan, inputs: Inputs, target: Target) -> Report:
    """Raises ServiceError: the inputs make no test, or the server refuses even one request at a time."""
    return asyncio.run(_run(plan, inputs.samples(plan.seed), target))


def tell(report: Report, as_json: bool) -> None:
    """On standard output."""
    if as_json:
        print_json(as_data(report))
        return
    console = Console(highlight=False)
    for piece in as_text(report):
        console.print(piece, soft_wrap=isinstance(piece, Text))


async def _run(plan: Plan, samples: list[Sample], target: Target) -> Report:
    with target.server.arguments() as arguments:
        client = AsyncClient(**arguments | {"retry": _NO_RETRIES}, streams=False)  # a stream holds back what it cannot take
    async with client:
        asking = Asking(client, target.model, target.implementation, target.timeout_seconds, target.tolerance)
        if target.check:
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
