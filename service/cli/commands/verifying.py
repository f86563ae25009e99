"""`cellserve verify`: whether what is published could be served. The proof itself is cellserve.service.registry.verifying."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Protocol

import typer

from cellserve.service.cli.completion import references
from cellserve.service.cli.options import JsonOption, RepositoryOption, open_repository
from cellserve.service.cli.output import note, print_json
from cellserve.service.cli.server_options import Server, asks_a_server
from cellserve.service.registry.manifest import ModelRef


@asks_a_server(None, "Have this running server verify its own, host:port or grpcs://host:port.")
def verify(
    server: Server | None,
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
        cellserve verify --url localhost:8001
    """
    reference = None if ref is None else ModelRef.parse(ref)
    verdicts = []
    where, proved = _verdicts(server, reference, repository)
    for verdict in proved:
        verdicts.append(verdict)
        if not as_json:
            named = f" ({', '.join(verdict.aliases)})" if verdict.aliases else ""
            typer.echo(f"{_name(verdict)}{named}: {verdict.problem or 'ok'}")
        for label, reason in verdict.withdrawn.items():
            note(f"{_name(verdict)} would not offer implementation {label} there: {reason}")
    if as_json:
        print_json([_as_data(verdict) for verdict in verdicts])
    elif not verdicts:
        note(f"no models in {where}; publish one with: cellserve import FILE")
    if any(verdict.problem for verdict in verdicts):
        raise typer.Exit(1)


class Verdict(Protocol):
    """As of verifying.Verdict, and of a server."""

    @property
    def model(self) -> str: ...

    @property
    def version(self) -> int | None: ...

    @property
    def aliases(self) -> tuple[str, ...]: ...

    @property
    def problem(self) -> str: ...

    @property
    def withdrawn(self) -> Mapping[str, str]: ...


def _verdicts(server: Server | None, reference: ModelRef | None, repository: str | None) -> tuple[object, Iterator[Verdict]]:
    """Whose, and each as it is proved."""
    if server is not None and server.instead_of(repository):
        return server.url, _of_a_server(server, "" if reference is None else str(reference))
    store = open_repository(repository)

    from cellserve.service.registry import verifying

    return store.name, verifying.verify(store, reference)


def _of_a_server(server: Server, reference: str) -> Iterator[Verdict]:
    with server.client() as client:
        yield from client.verify(reference)


def _name(verdict: Verdict) -> str:
    return verdict.model if verdict.version is None else f"{verdict.model}/{verdict.version}"


def _as_data(verdict: Verdict) -> dict[str, Any]:
    return {
        "model": verdict.model,
        "version": verdict.version,
        "aliases": list(verdict.aliases),
        "problem": verdict.problem,
        "withdrawn": dict(verdict.withdrawn),
    }
