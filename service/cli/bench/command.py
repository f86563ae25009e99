"""`cellserve bench`: a published model measured here, without a server. The measuring itself is models/measuring/benchmark.py."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cellserve.service.cli.bench import facts, page, tables
from cellserve.service.cli.completion import references
from cellserve.service.cli.options import JsonOption, RepositoryOption, open_repository
from cellserve.service.cli.output import note, print_json, print_table, step_bar
from cellserve.service.errors import InvalidInput, UnknownImplementation, UnsupportedImplementation
from cellserve.service.registry.calibration import machine
from cellserve.service.registry.manifest import ModelRef

if TYPE_CHECKING:
    from cellserve.models.measuring.benchmark import Benchmark, Recommendation, Shape
    from cellserve.models.network import Network
    from cellserve.models.spec import ModelSpec

_AS_FAST: Final = 1.1  # times the fastest: told beside it
_MOST_DIGITS: Final = 18
_GIBIBYTE: Final = 2**30


def bench(
    ref: Annotated[
        str,
        typer.Argument(metavar="NAME", help="name, name/3 or name@alias.", show_default=False, autocompletion=references),
    ],
    repository: RepositoryOption = None,
    rows: Annotated[str, typer.Option("--rows", help="Sequences side by side in a call, several by commas.")] = "1,8,32",
    steps: Annotated[str, typer.Option("--steps", help="Time steps of each, several by commas.")] = "1,16,100",
    implementation: Annotated[
        list[str] | None,
        typer.Option("--implementation", help="Only this one; may be given several times.", show_default="all that can run it"),
    ] = None,
    seconds_per_cell: Annotated[
        float,
        typer.Option("--seconds-per-cell", min=0.001, help="How long to repeat the calls of each rows x steps, all together."),
    ] = 0.3,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Also draw it into this file, one page without scripts.", show_default=False, dir_okay=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a model here, without a server: latency, memory and distance from the oracle of every implementation.

    Calls of all implementations take turns, on one thread of the processor. At the end it says which to use for which traffic.

        cellserve bench digits
        cellserve bench digits@stable --rows 1,64 --steps 1,200 --implementation 2 --implementation fused --html digits.html
    """
    counts, lengths = parse_counts("--rows", rows), parse_counts("--steps", steps)
    if html is not None and not html.parent.is_dir():
        raise InvalidInput(f"--html {html}: there is no folder {html.parent}")
    store = open_repository(repository)
    key = store.resolve(ModelRef.parse(ref))
    manifest, weights = store.manifest(key.model, key.version), store.weights(key.model, key.version)

    from cellserve.models.description.step_model import StepModel
    from cellserve.models.measuring import benchmark
    from cellserve.models.network import Network
    from cellserve.models.steps.graph_file import GraphFile

    if isinstance(manifest.spec, StepModel) or isinstance(weights, GraphFile):
        raise InvalidInput(f"{key} is a step model, which has one implementation; measure it with `cellserve load`")
    shapes = benchmark.grid(manifest.spec, counts, lengths)
    require_memory(manifest.spec, shapes)
    labels = chosen(Network(manifest.spec, weights), implementation or ())
    if not as_json and {shape.steps for shape in shapes} != set(lengths):
        possible = ", ".join(map(str, sorted({shape.steps for shape in shapes})))
        note(f"measured with {possible} time steps: the model takes no others of those asked for")
    with step_bar(f"measuring {key}", len(shapes) + 1) as progress:
        found = benchmark.measure(manifest.spec, weights, shapes, labels, seconds_per_cell, progress)
    if busy := facts.busy_note(found.busy):
        note(busy)
    command = ["cellserve", "bench", str(key), "--rows", rows, "--steps", steps, "--seconds-per-cell", f"{seconds_per_cell:g}"]
    command += [word for label in implementation or () for word in ("--implementation", label)]
    data = facts.facts(command, machine.identity(), found.busy) | as_data(str(key), found, benchmark.recommend(found))
    if html is not None:
        html.write_text(page.page(data), encoding="utf-8")
        note(f"drawn into {html}")
    if as_json:
        print_json(data)
    else:
        print_benchmark(data)


def parse_counts(option: str, text: str) -> tuple[int, ...]:
    """Positive integers separated by commas, ascending, each once. Raises InvalidInput."""
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() and len(word) <= _MOST_DIGITS and int(word) > 0 for word in words):
        raise InvalidInput(f"{option} {text!r}: expected positive integers separated by commas, such as 1,8,32")
    return tuple(sorted({int(word) for word in words}))


def require_memory(spec: ModelSpec, shapes: Sequence[Shape]) -> None:
    """Before anything of that size is made. Raises InvalidInput: the largest call does not fit into the memory that is free."""
    from cellserve.models.measuring import benchmark, resident_memory

    free = resident_memory.available_bytes()
    largest = max(shapes, key=lambda shape: benchmark.bytes_needed(spec, shape))
    needed = benchmark.bytes_needed(spec, largest)
    if free is not None and needed > free:
        raise InvalidInput(
            f"{largest.rows} rows of {largest.steps} steps would take about {needed / _GIBIBYTE:,.1f} GiB of memory, and "
            f"{free / _GIBIBYTE:,.1f} GiB are free; ask for fewer --rows or --steps"
        )


def chosen(network: Network, wanted: Sequence[str]) -> list[str]:
    """The labels to measure, in the order of the table of implementations; all offered where none is asked for.

    Raises UnknownImplementation, UnsupportedImplementation.
    """
    for label in wanted:
        if label not in network.implementations:
            known = ", ".join(network.implementations)
            raise UnknownImplementation(f"there is no implementation {label!r}; there are {known}", field="implementation")
        if (refusal := network.implementations[label]) is not None:
            raise UnsupportedImplementation(refusal, field="implementation")
    return [label for label, refusal in network.implementations.items() if refusal is None and label in (wanted or (label,))]


def as_data(model: str, found: Benchmark, recommendations: Sequence[Recommendation]) -> dict[str, Any]:
    """What `--json` prints beside the facts: the cells one by one, the differences to the oracle, and what to use."""
    return {
        "model": model,
        "implementations": list(found.implementations),
        "refused": dict(found.refused),
        "cells": [
            {
                "rows": one.shape.rows,
                "steps": one.shape.steps,
                "implementation": one.implementation,
                "calls": one.calls,
                "median_seconds": one.median_seconds,
                "median_wall_seconds": one.median_wall_seconds,
                "steps_per_second": one.steps_per_second,
                "peak_bytes": one.peak_bytes,
            }
            for one in found.measurements
        ],
        "oracle": {"longest_steps": found.oracle_steps, "largest_differences": dict(found.differences)},
        "recommendations": [
            {
                "traffic": one.traffic,
                "implementation": one.implementation,
                "times_the_fastest": dict(one.times),
                "least_memory": one.least_memory,
                "words": in_words(one),
            }
            for one in recommendations
        ],
    }


def in_words(recommendation: Recommendation) -> str:
    """ "fused (nearly as fast: 2, 1.04 times its latency); least memory: 1"."""
    best, least = recommendation.implementation, recommendation.least_memory
    close = [
        f"{label}, {times / recommendation.times[best]:.2f} times its latency"
        for label, times in recommendation.times.items()
        if label != best and times <= _AS_FAST * recommendation.times[best]
    ]
    words = best + (f" (nearly as fast: {'; '.join(close)})" if close else "")
    return words if least in (None, best) else f"{words}; least memory: {least}"


def print_benchmark(data: dict[str, Any]) -> None:
    """The tables of `as_data`."""
    for table in tables.all_tables(data):
        print_table(table.title, table.headings, table.rows)
