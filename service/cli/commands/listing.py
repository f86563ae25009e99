"""`cellserve models`: what is published, as the repository or a running server tells it, and what is wrong with it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from cellserve.service.cli.options import JsonOption, RepositoryOption, open_repository
from cellserve.service.cli.output import note, print_json, print_table
from cellserve.service.cli.server_options import Server, asks_a_server
from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import RepositoryError
from cellserve.service.registry.memory.budget import size_words
from cellserve.service.registry.repository.model_on_disk import ModelOnDisk, read_model
from cellserve.service.registry.repository.summaries import Summaries


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
    if server is not None and server.instead_of(repository):
        _show_served(server, as_json)
        return
    store = open_repository(repository)
    models = [read_model(store, name) for name in store.models()]
    summaries = Summaries(store)
    rows = [row for model in models for row in _versions(summaries, model)]
    summaries.keep(VersionKey(model.name, version) for model in models for version in model.versions)
    if as_json:
        print_json(rows)
    elif not rows:
        note(f"no models in {store.name}; publish one with: cellserve import FILE")
    else:
        headings = ("model", "#version", "aliases", "framework", "#parameters", "created", "problem")
        shown = headings if any(row["problem"] for row in rows) else headings[:-1]
        keys = [heading.removeprefix("#") for heading in shown]
        print_table(f"Models in {store.name}", shown, [[_cell(row[key]) for key in keys] for row in rows])


def _show_served(server: Server, as_json: bool) -> None:
    with server.client() as client:
        listed = [asdict(version) for version in client.versions()]
    if as_json:
        print_json(listed)
    else:
        columns = ("model", "version", "state", "aliases", "memory", "reason")
        for row in listed:
            row["memory"] = size_words(row["memory_bytes"]) if row["memory_bytes"] else ""
        print_table(
            f"Models of {server.url}",
            ("model", "#version", "state", "aliases", "#memory", "reason"),
            [[_cell(row[column]) for column in columns] for row in listed],
        )


def _versions(summaries: Summaries, model: ModelOnDisk) -> list[dict[str, Any]]:
    """One row a version, those that only aliases know too; what is damaged is told in its row and hides nothing else."""
    missing = [_row(model, version, problem) for version, problem in model.dangling.items()]
    return sorted(
        [*(_version(summaries, model, version) for version in model.versions), *missing], key=lambda row: row["version"]
    )


def _version(summaries: Summaries, model: ModelOnDisk, version: int) -> dict[str, Any]:
    problem = "; ".join((*filter(None, [model.failing.get(version)]), *model.problems))
    row = _row(model, version, problem)
    try:
        summary = summaries.of(VersionKey(model.name, version), model.versions[version])
    except RepositoryError as error:
        return row | {"problem": str(error)}
    return row | {
        "framework": summary.framework,
        "parameters": summary.parameters,
        "created": summary.created,
    }


def _row(model: ModelOnDisk, version: int, problem: str) -> dict[str, Any]:
    return {
        "model": model.name,
        "version": version,
        "aliases": list(model.aliases_of(version)),
        "framework": "",
        "parameters": None,
        "created": None,
        "problem": problem,
    }


def _cell(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
