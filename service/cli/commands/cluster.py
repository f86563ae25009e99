"""`cellserve cluster`: several servers as one on this machine, for a trial or behind one address."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cellserve.service import logs
from cellserve.service.cli.options import JsonOption, RepositoryOption, settings_of
from cellserve.service.cli.output import note, print_json, print_table
from cellserve.service.config import DEFAULT_PORT
from cellserve.service.errors import InvalidInput

_FOLDER: Final = ".cluster"
_LOCAL: Final = "127.0.0.1"
_PAUSE_SECONDS: Final = 0.05

cluster = typer.Typer(no_args_is_help=True, help="Several servers as one on this machine: start, look, end (docs/cluster.md).")

FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--folder", help="Where its logs, its store and its state are. [default: .cluster in the repository]", show_default=False
    ),
]


@cluster.command(context_settings={"allow_extra_args": True})
def up(
    context: typer.Context,
    replicas: Annotated[int, typer.Option("--replicas", min=1, max=64, help="Servers.")] = 2,
    repository: RepositoryOption = None,
    host: Annotated[str, typer.Option("--host", help="Address that clients call; 0.0.0.0 is every one.")] = _LOCAL,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port that clients call; 0 picks a free one.")
    ] = DEFAULT_PORT,
    folder: FolderOption = None,
    session_store: Annotated[
        str, typer.Option("--session-store", envvar="CELLSERVE_SESSION_STORE", help="An existing store; else one is started.")
    ] = "",
    believe_request_ids: Annotated[
        bool,
        typer.Option(
            "--believe-request-ids", help="An x-request-id that a client sends is the same at each attempt at a request."
        ),
    ] = False,
    internal_tls: Annotated[
        Path | None,
        typer.Option(
            "--internal-tls",
            help="Folder of ca.pem, certificate.pem (of localhost), key.pem: servers answer the proxy, the store servers, alone.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Start a store (Valkey), servers, and a proxy (Envoy) before them, and keep them running until SIGTERM or Ctrl-C.

    What dies is started again; no death of a server loses a live sequence. Prints one line on standard output when all is ready.
    What stands after -- are options of `cellserve serve`, for every server; so are the variables CELLSERVE_…. TLS is the proxy's.

        cellserve cluster up --replicas 2 --port 8001 -- --implementation packed
    """
    from cellserve.service.cluster.cluster import run
    from cellserve.service.cluster.settings import ClusterSettings, misplaced
    from cellserve.service.cluster.settings import internal_tls as files_of

    serve = settings_of(repository)
    if (option := misplaced(context.args)) is not None:
        raise InvalidInput(f"{option} is the cluster's own affair, and may not stand after --", field=option.removeprefix("--"))
    logs.configure(serve.log_level, serve.log_format)
    settings = ClusterSettings(
        replicas=replicas,
        host=host,
        port=port,
        folder=_folder(folder, repository),
        serve=serve,
        store=session_store,
        believe_request_ids=believe_request_ids,
        internal=None if internal_tls is None else files_of(internal_tls),
        further=tuple(context.args),
    )
    run(settings, _announce_json if as_json else _announce)


@cluster.command()
def status(repository: RepositoryOption = None, folder: FolderOption = None, as_json: JsonOption = False) -> None:
    """Show the cluster that runs on this machine: its processes, where they listen, how often each was started again."""
    from cellserve.service.cluster.folder import Folder

    found = Folder(_folder(folder, repository)).state()
    if as_json:
        print_json(found)
        return
    rows = [
        (each["name"], each["url"], each["pid"], each["state"], each["restarts"], each["metrics_url"])
        for each in found["replicas"]
    ]
    for name, url in (("proxy", found["url"]), ("store", found["store"]["url"])):
        part = found[name]
        rows.append((name, url, part["pid"] or "", part.get("state", "given"), part.get("restarts", ""), ""))
    print_table(f"cluster on {found['url']}", ("what", "url", "#pid", "state", "#restarts", "metrics"), rows)


@cluster.command()
def down(repository: RepositoryOption = None, folder: FolderOption = None) -> None:
    """End the cluster that runs on this machine, as Ctrl-C does, and wait until all of it has ended."""
    from cellserve.service.cluster.folder import Folder

    where = Folder(_folder(folder, repository))
    os.kill(where.state()["pid"], signal.SIGTERM)
    while where.taken():
        time.sleep(_PAUSE_SECONDS)
    note(f"the cluster in {where.root} has ended")


def _folder(given: Path | None, repository: str | None) -> Path:
    if given is not None:
        return given
    return settings_of(repository).repository_folder / _FOLDER


def _announce_json(facts: dict[str, Any]) -> None:
    typer.echo(json.dumps(facts))


def _announce(facts: dict[str, Any]) -> None:
    typer.echo(f"cellserve ready on {facts['url']} ({len(facts['replicas'])} replicas, store {facts['store']['url']})")
