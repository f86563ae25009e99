"""`cellserve models`, `show`, `promote` and `remove`: the repository on disk, which a running server follows by itself."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from cellserve.service.cli import describing
from cellserve.service.cli.completion import model_names, references
from cellserve.service.cli.options import JsonOption, RepositoryOption, open_repository
from cellserve.service.cli.output import note, print_json, print_table
from cellserve.service.cli.server_options import Server, asks_a_server
from cellserve.service.config import Settings
from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import InvalidInput, RepositoryError
from cellserve.service.registry import machine
from cellserve.service.registry.calibration_cache import CalibrationCache
from cellserve.service.registry.manifest import STABLE, ModelRef, parse_version
from cellserve.service.registry.repository import Repository

Ref = Annotated[
    str, typer.Argument(metavar="REF", help="name, name/3 or name@alias.", show_default=False, autocompletion=references)
]


@asks_a_server(None, "Ask this running server instead, host:port or grpcs://host:port: what is loaded, and why not.")
def models(
    server: Server | None,
    repository: RepositoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """List every published version, its aliases and where it came from; with --url also whether a server has it ready.

    cellserve models --json
    cellserve models --url localhost:8001
    """
    if server is not None:
        _show_served(server, as_json)
        return
    store = open_repository(repository)
    rows = [row for model in store.models() for row in _versions(store, model)]
    if as_json:
        print_json(rows)
    elif not rows:
        note(f"no models in {store.root}; publish one with: cellserve import FILE")
    else:
        headings = ("model", "#version", "aliases", "framework", "#parameters", "created", "problem")
        shown = headings if any(row["problem"] for row in rows) else headings[:-1]
        keys = [heading.removeprefix("#") for heading in shown]
        print_table(f"Models in {store.root}", shown, [[_cell(row[key]) for key in keys] for row in rows])


def show(ref: Ref, repository: RepositoryOption = None, as_json: JsonOption = False) -> None:
    """Show one version: source, layers, implementations and how far each is from the oracle.

    cellserve show digits@stable
    """
    store = open_repository(repository)
    key = store.resolve(ModelRef.parse(ref))
    manifest = store.manifest(key.model, key.version)
    network = describing.as_data(manifest.spec)
    parity = manifest.parity
    measured = CalibrationCache(Settings().calibration_folder, machine.identity()).on_any_device(manifest)
    if as_json:
        chosen = {"choices": {one.device: dict(one.choices) for one in measured}, "aliases": _aliases(store, key)}
        print_json(manifest.model_dump(mode="json", exclude={"golden", "spec"}) | chosen | network)
        return
    source = manifest.source
    print_table(
        str(key),
        ("what", "value"),
        [
            ("aliases", ", ".join(_aliases(store, key)) or "none"),
            ("created", f"{manifest.created:%Y-%m-%d %H:%M:%S} UTC"),
            ("source", f"{source.file} ({source.framework} {source.version}".rstrip() + ")"),
            ("source digest", source.digest),
            ("weights digest", manifest.weights_digest),
            ("parameters", f"{network['parameters']:,}"),
            ("outputs", ", ".join(f"{name} {shape}" for name, shape in network["outputs"].items())),
            ("computed in", network["passes"]),
            ("checked against", describing.agreement(parity.framework) or "nothing that the framework answered itself"),
            *((f"tag {name}", value) for name, value in manifest.tags.items()),
            *(("note", remark) for remark in manifest.notes),
        ],
    )
    describing.print_network(network)
    agreed = {
        label: f"differs from the oracle by at most {difference:.1e} (allowed {parity.bound:.1e})"
        for label, difference in parity.differences.items()
    }
    describing.print_implementations(agreed | dict(parity.refused))
    describing.print_choices({one.device: one.choices for one in measured})


def promote(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the model.", show_default=False, autocompletion=model_names)
    ],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Number of a published version.", show_default=False)],
    alias: Annotated[str, typer.Option("--alias", help="The alias to move; requests without a version go to `stable`.")] = STABLE,
    repository: RepositoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Point an alias at a version. A running server loads the version first, then moves; nothing is interrupted.

    cellserve promote digits 3 --alias stable
    """
    number = parse_version(version)
    if number is None:
        raise InvalidInput(f"{version!r} is not a version: use a positive integer, as in: cellserve promote {name} 3")
    open_repository(repository).set_alias(name, alias, number)
    if as_json:
        print_json({"model": name, "alias": alias, "version": number})
    else:
        typer.echo(f"{name}@{alias} is {name}/{number}")


def remove(
    ref: Ref,
    repository: RepositoryOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove a model (name), a version (name/3) or an alias (name@canary). A version that an alias points at stays.

    cellserve remove digits/1
    """
    reference = ModelRef.parse(ref)
    store = open_repository(repository)
    store.resolve(reference)
    if not yes:
        typer.confirm(f"Remove {_named(store, reference)}?", abort=True, err=True)
    store.remove(reference)
    if as_json:
        print_json({"removed": str(reference)})
    else:
        typer.echo(f"removed {reference}")


def _show_served(server: Server, as_json: bool) -> None:
    from cellserve.service.client import Client

    with server.arguments() as arguments:
        client = Client(**arguments)
    with client:
        listed = [asdict(version) for version in client.versions()]
    if as_json:
        print_json(listed)
    else:
        columns = ("model", "version", "state", "aliases", "reason")
        print_table(
            f"Models of {server.url}",
            ("model", "#version", "state", "aliases", "reason"),
            [[_cell(row[column]) for column in columns] for row in listed],
        )


def _named(store: Repository, reference: ModelRef) -> str:
    if reference.alias is not None:
        return f"the alias {reference}"
    if reference.version is not None:
        return f"version {reference}"
    return f"the model {reference} with all its versions ({', '.join(map(str, store.versions(reference.model)))})"


def _aliases(store: Repository, key: VersionKey) -> list[str]:
    return [alias for alias, version in store.aliases(key.model).items() if version == key.version]


def _versions(store: Repository, model: str) -> list[dict[str, Any]]:
    """One row a version; what is damaged is told in its row and hides nothing else."""
    try:
        aliases, problem = store.aliases(model), ""
    except RepositoryError as error:
        aliases, problem = {}, str(error)
    return [_version(store, VersionKey(model, version), aliases, problem) for version in store.versions(model)]


def _version(store: Repository, key: VersionKey, aliases: dict[str, int], problem: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "model": key.model,
        "version": key.version,
        "aliases": [alias for alias, version in aliases.items() if version == key.version],
        "framework": "",
        "parameters": None,
        "created": None,
        "problem": problem,
    }
    try:
        manifest = store.manifest(key.model, key.version)
    except RepositoryError as error:
        return row | {"problem": str(error)}
    return row | {
        "framework": f"{manifest.source.framework} {manifest.source.version}".rstrip(),
        "parameters": describing.parameters(manifest.spec).total(),
        "created": manifest.created.isoformat(timespec="seconds"),
    }


def _cell(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
