"""`cellserve sessions`: the live sequences of a running server, whose recurrent states it keeps."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cellserve.service.cli.completion import model_names
from cellserve.service.cli.options import JsonOption
from cellserve.service.cli.output import changing_table, note, print_json, print_table
from cellserve.service.cli.server_options import Server, asks_a_server
from cellserve.service.errors import InvalidInput
from cellserve.service.overview.words import duration

if TYPE_CHECKING:
    from cellserve.service.client import Client, SequenceInfo

_HEADINGS: Final = ("model", "id", "#version", "#position", "#age", "#idle", "#bytes", "state")
_REPLICA: Final = "last on"

Show = Callable[[str, Sequence[str], Sequence[Sequence[object]]], None]


@asks_a_server()
def sessions(
    server: Server,
    model: Annotated[
        str, typer.Option("--model", help="Of this model only.", show_default="all models", autocompletion=model_names)
    ] = "",
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="Most rows of the table, those used last; --json lists all.")
    ] = 100,
    watch_seconds: Annotated[
        float | None, typer.Option("--watch", min=0.1, help="Ask again every so many seconds, until Ctrl-C.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the live sequences of a running server, or of all that share its store, those used last first. This is
    administration: it needs an admin token, or, where the server has no tokens, the server's own machine.

    cellserve sessions --model digits
    cellserve sessions --watch 2
    """
    from cellserve.service.client import Client

    if as_json and watch_seconds is not None:
        raise InvalidInput("--watch shows a table that changes; leave out --json, or call it again and again", field="watch")
    with server.arguments() as arguments:
        client = Client(**arguments)
    with client:
        if as_json:
            print_json([asdict(each) for each in client.sequences(model)])
        elif watch_seconds is None:
            _show(client, server.url, model, limit, print_table)
        else:
            _watch(client, server.url, model, limit, watch_seconds)


def _watch(client: Client, url: str, model: str, limit: int, every_seconds: float) -> None:
    try:
        with changing_table() as show:
            while True:
                _show(client, url, model, limit, show)
                time.sleep(every_seconds)
    except KeyboardInterrupt:
        return


def _show(client: Client, url: str, model: str, limit: int, show: Show) -> None:
    found = sorted(client.sequences(model), key=lambda each: each.idle_seconds)
    if not found and show is print_table:
        note(f"no live sequences on {url}")
        return
    more = f", the {limit:,} used last" if len(found) > limit else ""
    shared = any(each.replica for each in found)
    headings = (*_HEADINGS, _REPLICA) if shared else _HEADINGS
    show(f"{len(found):,} live sequences on {url}{more}", headings, [_row(each, shared) for each in found[:limit]])


def _row(each: SequenceInfo, shared: bool) -> tuple[object, ...]:
    """shared: with the replica that worked with it last."""
    return (
        each.model,
        each.id,
        each.version,
        f"{each.position:,}",
        duration(each.age_seconds),
        duration(each.idle_seconds),
        f"{each.bytes:,}",
        each.state,
        *((each.replica,) if shared else ()),
    )
