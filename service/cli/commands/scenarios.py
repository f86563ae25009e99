"""What `cellserve load` does of scenarios, searches and sweeps: runs, tells, writes the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from rich.console import Console

from cellserve.service.cli.commands.reporting import write
from cellserve.service.cli.output import note, print_json
from cellserve.service.cli.server_options import Server
from cellserve.service.errors import InvalidInput
from cellserve.service.loadgen.scenarios import campaign, target
from cellserve.service.loadgen.scenarios.campaign import Campaign
from cellserve.service.loadgen.scenarios.run import Run
from cellserve.service.loadgen.scenarios.scenario import Scenario

_NOT_OF_CLIENTS: Final = ("retry",)


def run(
    scenario: Scenario,
    server: Server,
    *,
    metrics_url: str | None,
    find_rate: str | None,
    sweep: str | None,
    html: Path | None,
    as_json: bool,
) -> bool:
    """Whether it was clean. Raises ServiceError, OSError."""
    aim = None if find_rate is None else target.parse(find_rate)
    labels = [label.strip() for label in sweep.split(",")] if sweep else []
    if not all(labels):
        raise InvalidInput(f"--sweep {sweep!r} names an implementation that has no name; packed,onnxruntime was expected")
    with server.arguments() as arguments:
        given = {name: value for name, value in arguments.items() if name not in _NOT_OF_CLIENTS}
    done = campaign.run(scenario, campaign.Server(given, metrics_url), aim, labels, told=lambda each: note(_words(each)))
    data = json.loads(json.dumps(done.as_data()))
    if html is not None:
        write(html, {scenario.name: data})
    if as_json:
        print_json(data)
    else:
        _tell(done)
    return done.clean


def _words(run: Run) -> str:
    summary = run.summary
    p99 = f"{summary.latencies[0].p99_seconds * 1e3:.2f} ms" if summary.latencies else "–"
    met = {None: "", True: ", met", False: ", not met"}[run.met]
    label = f"{run.label}: " if run.label else ""
    return (
        f"{label}{summary.requests} requests, {summary.offered_per_second:.1f} per second, p99 {p99}{met}; "
        f"{summary.right} right, {summary.wrong} wrong, {sum(summary.errors.values())} refused or failed"
    )


def _tell(done: Campaign) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for run in done.runs:
        console.print(_words(run))
        for name, summary in run.traffic.items():
            for row in summary.latencies[:1]:
                times = f"p50 {row.p50_seconds * 1e3:.2f}, p90 {row.p90_seconds * 1e3:.2f}, p99 {row.p99_seconds * 1e3:.2f} ms"
                console.print(f"  {name}: {row.count} answers, {times}")
        for words in run.complaints:
            console.print(
                f"The generator itself was the limit: {words}. Lower the rate, or take more processes.", style="bold yellow"
            )
        if not run.complaints:
            console.print("The generator kept up.")
    for found in done.found:
        label = f"{found.label}: " if found.label else ""
        assert done.target is not None
        if found.rate_per_second is None:
            console.print(f"{label}{done.target.text} was met at no rate that was tried", style="bold red")
        else:
            console.print(f"{label}{done.target.text} is met up to {found.rate_per_second:.1f} requests per second", style="bold")
        if found.limited_by_generator:
            console.print("Beyond it the generator was the limit: the server may do more.", style="bold yellow")
