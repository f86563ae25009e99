"""`cellserve top`: what a running server does, again and again, from its page of metrics."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from cellserve.service.cli.output import changing_screen, print_json, print_screen
from cellserve.service.cli.server_options import DEFAULT_METRICS_URL, METRICS_URL_VARIABLE
from cellserve.service.cli.top.screen import screen
from cellserve.service.overview.look import Look
from cellserve.service.overview.overview import overview
from cellserve.service.overview.scraping import NoAnswer, base_url, look


def top(
    url: Annotated[
        str,
        typer.Option("--url", envvar=METRICS_URL_VARIABLE, help="Of the server's metrics port, host:port or http://host:port."),
    ] = DEFAULT_METRICS_URL,
    every_seconds: Annotated[
        float, typer.Option("--every", min=0.1, help="Look again after so many seconds; rates are of that time.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print one such time and stop, for scripts.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one such time as JSON and stop, for scripts.")] = False,
) -> None:
    """Show what a running server does: rates, latencies by implementation, refusals, queues, versions, live sequences, memory.

    It reads the server's page of metrics, so it needs no token, and costs the server what Prometheus does. Ctrl-C ends it.

        cellserve top
        cellserve top --url models.example:8002 --every 10
        cellserve top --once --json
    """
    where = base_url(url)
    try:
        before = look(where)
        if once or as_json:
            time.sleep(every_seconds)
            seen = overview(before, look(where))
            if as_json:
                print_json(asdict(seen))
            else:
                print_screen(screen(seen, where, time.time()))
        else:
            _watch(where, before, every_seconds)
    except KeyboardInterrupt:
        return


def _watch(url: str, before: Look | None, every_seconds: float) -> None:
    """A server that is away for a while is waited for. before: None, where there is nothing to compare with."""
    with changing_screen() as show:
        show(Text(f"looking at {url} for {every_seconds:g} s"))
        while True:
            time.sleep(every_seconds)
            try:
                seen = look(url)
            except NoAnswer as error:
                before = None
                show(Text(str(error), style="bold red"))
                continue
            if before is not None:
                show(screen(overview(before, seen), url, time.time()))
            before = seen
