"""`cellserve cluster`: several servers as one on this machine, for a trial or behind one address."""

from __future__ import annotations

import json
import os
import signal
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cellserve.service import logs
from cellserve.service.cli.options import JsonOption, RepositoryOption, settings_of
from cellserve.service.cli.output import note, print_json, print_table
from cellserve.service.config import DEFAULT_PORT
from cellserve.service.errors import InvalidInput
from cellserve.service.networks import parsed_networks

_FOLDER: Final = ".cluster"
_LOCAL: Final = "127.0.0.1"
_PAUSE_SECONDS: Final = 0.05
_ADMIN_PORT: Final = 9901
_WATCH_PORT: Final = 9902

cluster = typer.Typer(no_args_is_help=True, help="Several servers as one on this machine: start, look, end (docs/cluster.md).")


class SupervisorName(StrEnum):
    OWN = "own"
    RAY = "ray"


FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--folder", help="Where its logs, its store and its state are. [default: .cluster in the repository]", show_default=False
    ),
]

BelieveOption = Annotated[
    bool,
    typer.Option("--believe-request-ids", help="An x-request-id that a client sends is the same at each attempt at a request."),
]
InternalTlsOption = Annotated[
    Path | None,
    typer.Option(
        "--internal-tls",
        help="Folder of ca.pem, certificate.pem, key.pem: servers answer the proxy alone; a store started here, servers alone.",
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
    believe_request_ids: BelieveOption = False,
    internal_tls: InternalTlsOption = None,
    supervisor: Annotated[
        SupervisorName, typer.Option("--supervisor", help="Who keeps the servers running.")
    ] = SupervisorName.OWN,
    max_replicas: Annotated[
        int, typer.Option("--max-replicas", min=0, max=1024, help="With Ray: servers when much waits; 0: as --replicas says.")
    ] = 0,
    waiting_timesteps: Annotated[
        float,
        typer.Option("--waiting-timesteps", min=1, help="With Ray: time steps that may wait at a server before there are more."),
    ] = 20000.0,
    fewer_after: Annotated[
        float, typer.Option("--fewer-after", min=0, help="With Ray: seconds for which fewer must do before there are fewer.")
    ] = 600.0,
    ray_python: Annotated[
        Path | None, typer.Option("--ray-python", help="The Python that has Ray. [default: this one]", show_default=False)
    ] = None,
    ray_address: Annotated[
        str, typer.Option("--ray-address", help="Of a Ray that there is already, on as many machines; else one is started.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Start a store (Valkey), servers, and a proxy (Envoy) before them, and keep them running until SIGTERM or Ctrl-C.

    What dies is started again; no death of a server loses a live sequence. Prints one line on standard output when all is ready.
    What stands after -- are options of `cellserve serve`, for every server; so are the variables CELLSERVE_…. TLS is the proxy's.

        cellserve cluster up --replicas 2 --port 8001 -- --implementation packed
    """
    from cellserve.service.cluster.cluster import run
    from cellserve.service.cluster.ray import python_with_ray
    from cellserve.service.cluster.settings import ClusterSettings, RaySettings, misplaced
    from cellserve.service.cluster.settings import internal_tls as files_of

    serve = settings_of(repository)
    ray = None
    if supervisor is SupervisorName.RAY:
        most = max(replicas, max_replicas)
        ray = RaySettings(python_with_ray(ray_python), ray_address, most, waiting_timesteps, fewer_after)
    elif max_replicas or ray_python is not None or ray_address:
        raise InvalidInput("--max-replicas and --ray-… are for --supervisor ray", field="supervisor")
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
        ray=ray,
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
    for name, url in (("proxy", found["url"]), ("store", found["store"]["url"]), ("ray", "")):
        if (part := found.get(name)) is None:
            continue
        rows.append((name, url, part["pid"] or "", part.get("state", "given"), part.get("restarts", ""), ""))
    print_table(f"cluster on {found['url']}", ("what", "url", "#pid", "state", "#restarts", "metrics"), rows)


@cluster.command()
def envoy(
    servers: Annotated[
        list[str],
        typer.Option(
            "--server", help="HOST:PORT of each server; or of all, where one name resolves to the addresses of all of them."
        ),
    ],
    host: Annotated[str, typer.Option("--host", help="Address that clients call; 0.0.0.0 is every one.")] = "0.0.0.0",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port that clients call.")] = DEFAULT_PORT,
    watch_port: Annotated[
        int, typer.Option("--watch-port", min=1, max=65535, help="Port of /ready and /stats/prometheus of Envoy itself.")
    ] = _WATCH_PORT,
    admin_port: Annotated[
        int, typer.Option("--admin-port", min=1, max=65535, help="Port of its administration, on its own machine alone.")
    ] = _ADMIN_PORT,
    believe_request_ids: BelieveOption = False,
    internal_tls: InternalTlsOption = None,
    server_name: Annotated[
        str, typer.Option("--server-name", help="With --internal-tls: the name in the certificate of the servers.")
    ] = "localhost",
) -> None:
    """Print the configuration of an Envoy before servers that run elsewhere, as `cellserve cluster up` has it.

    The variables CELLSERVE_TLS_…, …_TOKENS, …_ADMINISTRATION_FROM, …_MAX_MESSAGE_BYTES and …_MIN_PING_INTERVAL_SECONDS count as
    they do for servers; the files that they name are where Envoy will find them.

        cellserve cluster envoy --server one:8001 --server two:8001 >envoy.json
    """
    from cellserve.service.cluster.envoy.bootstrap import bootstrap
    from cellserve.service.cluster.envoy.plan import EndpointsByName, ProxyPlan
    from cellserve.service.cluster.envoy.upstream import ping_seconds
    from cellserve.service.cluster.settings import internal_tls as files_of
    from cellserve.service.cluster.settings import upstream_tls

    serve = settings_of(None)
    plan = ProxyPlan(
        host=host,
        port=port,
        replicas=EndpointsByName(tuple(map(_address, servers))),
        admin=(_LOCAL, admin_port),
        max_message_bytes=serve.max_message_bytes,
        ping_seconds=ping_seconds(serve.min_ping_interval_seconds),
        tls=serve.tls,
        upstream_tls=upstream_tls(None if internal_tls is None else files_of(internal_tls), server_name),
        administration_from=parsed_networks(serve.administration_from) if serve.tokens is None else None,
        believe_request_ids=believe_request_ids,
        watch=(host, watch_port),
    )
    print_json(bootstrap(plan))


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


def _address(text: str) -> tuple[str, int]:
    """Raises InvalidInput."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InvalidInput(f"--server {text} is no address; HOST:PORT was expected", field="server")
    return host.strip("[]"), int(port)


def _announce_json(facts: dict[str, Any]) -> None:
    typer.echo(json.dumps(facts))


def _announce(facts: dict[str, Any]) -> None:
    typer.echo(f"cellserve ready on {facts['url']} ({len(facts['replicas'])} replicas, store {facts['store']['url']})")
