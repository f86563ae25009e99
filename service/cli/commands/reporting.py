"""`cellserve report`: the page of a load test, from what it printed as JSON. Asks no server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cellserve.service.cli.options import JsonOption
from cellserve.service.cli.output import note, print_json
from cellserve.service.errors import InvalidInput


def report(
    records: Annotated[
        list[Path], typer.Argument(metavar="RECORD…", help="What `cellserve load --json` printed.", exists=True, dir_okay=False)
    ],
    html: Annotated[Path, typer.Option("--html", help="The page to write.", dir_okay=False)],
    as_json: JsonOption = False,
) -> None:
    """Write the page of a load test from its record, or compare it with others: the first is what they are compared with.

    cellserve load --scenario evening.yaml --json > now.json
    cellserve report before.json now.json --html page.html
    """
    named: dict[str, dict[str, Any]] = {}
    for path in records:
        name = path.stem if path.stem not in named else str(path)
        named[name] = _read(path)
    write(html, named)
    if as_json:
        print_json({"page": str(html), "records": list(named)})


def _read(path: Path) -> dict[str, Any]:
    from cellserve.service.loadgen.scenarios.campaign import FORMAT

    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidInput(f"{path} is no JSON: {error}") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InvalidInput(f"{path} is no record of a scenario; `cellserve load --scenario FILE.yaml --json` prints one")
    return data


def write(html: Path, records: dict[str, dict[str, Any]]) -> None:
    """records: by the name under which they are shown. Raises OSError."""
    from cellserve.service.cli.report.page import page

    html.write_text(page(records), encoding="utf-8")
    note(f"the report is in {html}")
