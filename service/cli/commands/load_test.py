"""`cellserve load`: a load test against a running server. Reads the options; the test itself is in cellserve.service.loadgen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from cellserve.service.cli.completion import references
from cellserve.service.cli.options import JsonOption
from cellserve.service.cli.server_options import Server, asks_a_server

_DEFAULT_CONCURRENCY: Final = 8
_DEFAULT_DURATION_SECONDS: Final = 10.0


@asks_a_server()
def load(
    server: Server,
    ref: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="name, name/3 or name@alias.", show_default=False, autocompletion=references),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="The same as NAME.", hidden=True)] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", min=0.001, help="Open loop: requests per second, Poisson, whatever the answers do.")
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option("--concurrency", min=1, help="Closed loop: callers, each with one request at a time.", show_default="8"),
    ] = None,
    duration_seconds: Annotated[
        float | None,
        typer.Option("--duration-seconds", min=0.001, help="How long to send.", show_default="10, unless --requests"),
    ] = None,
    requests: Annotated[int | None, typer.Option("--requests", min=1, help="How many to send.")] = None,
    lengths: Annotated[
        str, typer.Option("--lengths", help="Time steps: fixed:N, uniform:MIN:MAX, lognormal:MEDIAN:MIN:MAX or mix.")
    ] = "mix",
    features: Annotated[
        int | None,
        typer.Option(
            "--features", min=1, help="Random inputs of so many features per step.", show_default="what the model takes"
        ),
    ] = None,
    vocabulary: Annotated[
        int | None,
        typer.Option(
            "--vocabulary",
            min=1,
            help="Random ids below this, for a model that begins with an embedding.",
            show_default="what the model takes",
        ),
    ] = None,
    input_file: Annotated[
        Path | None,
        typer.Option("--input", help="Real inputs: .npz of `inputs`, and if it has them `lengths` and expected `outputs`."),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option("--samples", min=1, help="Different inputs, asked again and again.", show_default="64, or the whole file"),
    ] = None,
    implementation: Annotated[
        str,
        typer.Option(
            "--implementation", help="Force one: 0, 1, 2, fused, onnxruntime or packed.", show_default="the server's choice"
        ),
    ] = "",
    check: Annotated[
        bool, typer.Option(help="Compare each answer with the expected one, or with what the same input got alone beforehand.")
    ] = True,
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0.0, help="An answer a is right if |a-e| <= this * (1+|e|).")
    ] = 1e-5,
    timeout_seconds: Annotated[float, typer.Option("--timeout-seconds", min=0.001, help="Deadline of each request.")] = 60.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same inputs, same due times.")] = 0,
    scenario: Annotated[
        Path | None,
        typer.Option(
            "--scenario", help="YAML of mixed traffic, in place of NAME and of what says how to ask.", exists=True, dir_okay=False
        ),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option("--processes", min=1, help="Share the sending out among so many.", show_default="1, or the scenario's"),
    ] = None,
    find_rate: Annotated[
        str | None,
        typer.Option("--find-rate", metavar="TARGET", help="Find the highest rate that meets it, as in 'p99<50ms' or 'max<1s'."),
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option("--sweep", metavar="NAMES", help="Under each of these implementations, as in packed,onnxruntime."),
    ] = None,
    metrics_url: Annotated[
        str | None, typer.Option("--metrics-url", help="The server's page of metrics: its processor, memory, rows and padding.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with plots.", dir_okay=False)] = None,
    as_json: JsonOption = False,
) -> None:
    """Load-test a model on a running server: latency percentiles, throughput, and whether every answer stayed right.

    With --rate, requests leave when they are due and latency counts from then: a server that stalls cannot hide it.
    Exit code 1 when an answer was wrong or a request was refused. Where no option says what the model takes, the server is asked.

        cellserve load digits
        cellserve load digits --input heldout.npz --rate 200
        cellserve load speech@canary --concurrency 32 --requests 5000 --implementation fused
        cellserve load digits --rate 50 --find-rate 'p99<50ms' --sweep packed,onnxruntime --html page.html
        cellserve load --scenario evening.yaml --metrics-url http://localhost:8002/metrics --html page.html
    """
    from cellserve.service.cli.commands import load_test_run
    from cellserve.service.cli.commands.load_test_run import Target
    from cellserve.service.loadgen.inputs import Inputs
    from cellserve.service.loadgen.load_test import Plan

    if rate is not None and concurrency is not None:
        raise typer.BadParameter("open loop (--rate) or closed loop (--concurrency), not both")
    if scenario is not None or any(each is not None for each in (processes, find_rate, sweep, metrics_url, html)):
        from cellserve.service.cli.commands import scenarios
        from cellserve.service.loadgen.scenarios import scenario as scenario_files

        if (ref is None and model is None) == (scenario is None):
            raise typer.BadParameter("what to send? Name a model, or a --scenario, not both")
        if requests is not None:
            raise typer.BadParameter(
                "--requests does not go with scenarios, searches, sweeps and reports; give --duration-seconds"
            )
        if scenario is not None:
            whole = scenario_files.read(scenario)
        else:
            asked = {"features": features, "vocabulary": vocabulary, "input": input_file, "samples": samples, "lengths": lengths}
            callers = {"kind": "callers", "callers": concurrency or _DEFAULT_CONCURRENCY}
            arrivals = callers if rate is None else {"kind": "poisson", "rate_per_second": rate}
            part = {"name": ref or model, "model": ref or model, "arrivals": arrivals, "implementation": implementation, **asked}
            common = {"tolerance": tolerance, "timeout_seconds": timeout_seconds, "seed": seed, "check": check}
            whole = scenario_files.of_data({"name": ref or model, "traffic": [part], **common}, "what the options say")
        changed = {"processes": processes, "duration_seconds": duration_seconds}
        whole = whole.model_copy(update={name: value for name, value in changed.items() if value is not None})
        if not scenarios.run(
            whole, server, metrics_url=metrics_url, find_rate=find_rate, sweep=sweep, html=html, as_json=as_json
        ):
            raise typer.Exit(1)
        return
    if (ref is None) == (model is None):
        raise typer.BadParameter("which model? Name one, as in: cellserve load digits")
    if requests is None and duration_seconds is None:
        duration_seconds = _DEFAULT_DURATION_SECONDS
    report = load_test_run.run(
        Plan(rate, concurrency or _DEFAULT_CONCURRENCY, requests, duration_seconds, seed),
        Inputs(lengths, features, vocabulary, input_file, samples),
        Target(server, ref or model or "", implementation, timeout_seconds, tolerance, check),
    )
    load_test_run.tell(report, as_json)
    if not report.summary.clean:
        raise typer.Exit(1)
