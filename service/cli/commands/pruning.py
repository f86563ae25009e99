"""`cellserve prune`: removes old versions that nobody asks for, and says why the others stay."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cellserve.service.cli.completion import references
from cellserve.service.cli.options import JsonOption, RepositoryOption, open_repository
from cellserve.service.cli.output import note, print_json, print_table
from cellserve.service.errors import RepositoryError
from cellserve.service.registry.manifest import ModelRef
from cellserve.service.registry.repository.model_on_disk import ModelOnDisk, read_model
from cellserve.service.registry.repository.pruning import prunable, stays, unclear
from cellserve.service.registry.repository.repository import Repository


def prune(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Models; none: all.", autocompletion=references)
    ] = None,
    keep: Annotated[
        int | None, typer.Option("--keep", min=1, help="How many of the newest stay; else as model.yaml says under retention.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    repository: RepositoryOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove old versions. Those that an alias names or left last, that a server would fall back on, or that are pinned stay.

    cellserve prune --keep 5
    cellserve prune digits --keep 2 --dry-run
    """
    store = open_repository(repository)
    models = [read_model(store, name) for name in names or store.models()]
    plans = {model.name: _plan(model, keep) for model in models}
    doomed = [(name, version) for name, plan in plans.items() for version in plan["removed"]]
    if not as_json:
        _print(plans)
    if doomed and not dry_run:
        if not yes:
            typer.confirm(f"Remove {len(doomed)} version{'s' * (len(doomed) > 1)}?", abort=True, err=True)
        for name, version in doomed:
            _remove(store, plans[name], ModelRef(name, version=version))
    if as_json:
        print_json(plans)
    elif not doomed:
        typer.echo("nothing to remove")
    elif not dry_run:
        typer.echo(f"removed {sum(len(plan['removed']) for plan in plans.values())} of them")


def _plan(model: ModelOnDisk, keep: int | None) -> dict[str, Any]:
    """removed, and kept with the reasons."""
    own = model.settings.retention
    number = keep if keep is not None else None if own is None else own.keep
    if why := unclear(model):
        note(f"{model.name} is left as it is: {why}")
    elif number is None:
        note(f"{model.name} is left as it is: give --keep, or say retention in its model.yaml")
    if why or number is None:
        return {"removed": [], "kept": dict.fromkeys(sorted(model.versions), "left as it is")}
    return {"removed": prunable(model, number), "kept": dict(sorted(stays(model, number).items()))}


def _remove(store: Repository, plan: dict[str, Any], reference: ModelRef) -> None:
    """What an alias has come to name meanwhile stays."""
    try:
        store.remove(reference)
    except RepositoryError as error:
        note(str(error))
        plan["removed"].remove(reference.version)
        plan["kept"][reference.version] = "cannot be removed"


def _print(plans: dict[str, dict[str, Any]]) -> None:
    rows = [
        *((name, version, "goes", "") for name, plan in plans.items() for version in plan["removed"]),
        *((name, version, "stays", why) for name, plan in plans.items() for version, why in plan["kept"].items()),
    ]
    if any(plan["removed"] for plan in plans.values()):
        print_table("Versions", ("model", "#version", "", "why"), sorted(rows))
