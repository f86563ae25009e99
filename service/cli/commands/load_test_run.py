"""What `cellserve load` does once its options are read: draws or reads inputs, runs the test, prints the report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from cellserve.service.cli.output import print_json
from cellserve.service.cli.server_options import Server
from cellserve.service.client import AsyncClient, InputTensor, RetryPolicy
from cellserve.service.errors import AdministrationDenied, InvalidInput
from cellserve.service.loadgen import load_test
from cellserve.service.loadgen.drivers import Asking
from cellserve.service.loadgen.inputs import Inputs
from cellserve.service.loadgen.load_test import Plan, Report
from cellserve.service.loadgen.rendering import as_data, as_text
from cellserve.service.loadgen.samples import Sample

_NO_RETRIES = RetryPolicy(attempts=1)  # a refusal is a result here


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
    return asyncio.run(_run(plan, inputs, inputs.samples(plan.seed) if inputs.told else None, target))


def tell(report: Report, as_json: bool) -> None:
    """On standard output."""
    if as_json:
        print_json(as_data(report))
        return
    console = Console(highlight=False)
    for piece in as_text(report):
        console.print(piece, soft_wrap=isinstance(piece, Text))


async def _run(plan: Plan, inputs: Inputs, samples: list[Sample] | None, target: Target) -> Report:
    with target.server.arguments() as arguments:
        client = AsyncClient(**arguments | {"retry": _NO_RETRIES}, streams=False)  # a stream holds back what it cannot take
    async with client:
        if samples is None:
            samples = inputs.of_model(target.model, await _taken(client, target.model)).samples(plan.seed)
        asking = Asking(client, target.model, target.implementation, target.timeout_seconds, target.tolerance)
        if target.check:
            with _bar("learning the right answers") as bar:
                samples = await load_test.learn(asking, samples, bar)
        else:
            samples = [Sample(sample.x) for sample in samples]
        with _bar("sending") as bar:
            return await load_test.run(plan, asking, samples, bar)


async def _taken(client: AsyncClient, model: str) -> Sequence[InputTensor]:
    try:
        return (await client.show(model)).inputs
    except AdministrationDenied as error:
        raise InvalidInput(
            f"what {model} takes is told to administrators only ({error}); give --features N, --vocabulary N or --input FILE.npz"
        ) from error


@contextmanager
def _bar(title: str) -> Iterator[Callable[[float], None]]:
    """A progress bar on standard error, on a terminal only; yields what moves it to a share of the whole."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(title, total=1.0)
        yield lambda share: progress.update(task, completed=share)
