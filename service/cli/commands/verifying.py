"""`cellserve verify`: whether what is published could be served. The proof itself is cellserve.service.registry.verifying."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cellserve.service.cli.completion import references
from cellserve.service.cli.options import JsonOption, RepositoryOption, open_repository
from cellserve.service.cli.output import note, print_json
from cellserve.service.registry.manifest import ModelRef


def verify(
    ref: Annotated[
        str | None,
        typer.Argument(
            metavar="REF", help="name, name/3 or name@alias; none: all.", show_default=False, autocompletion=references
        ),
    ] = None,
    repository: RepositoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check that every published version could be served: its files, its digest, its golden pair under every implementation; and
    that every alias points at one.

    Prints a line for each. Exit code 1 if anything is wrong; nothing is changed.

        cellserve verify
        cellserve verify digits@stable
    """
    reference = None if ref is None else ModelRef.parse(ref)
    store = open_repository(repository)

    from cellserve.service.registry import verifying

    verdicts = []
    for verdict in verifying.verify(store, reference):
        verdicts.append(verdict)
        if not as_json:
            named = f" ({', '.join(verdict.aliases)})" if verdict.aliases else ""
            typer.echo(f"{verdict.name}{named}: {verdict.problem or 'ok'}")
        for label, reason in verdict.withdrawn.items():
            note(f"{verdict.name} would not offer implementation {label} here: {reason}")
    if as_json:
        print_json([asdict(verdict) for verdict in verdicts])
    elif not verdicts:
        note(f"no models in {store.root}; publish one with: cellserve import FILE")
    if any(verdict.problem for verdict in verdicts):
        raise typer.Exit(1)
