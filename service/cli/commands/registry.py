"""`cellserve show`, `promote` and `remove`: the repository on disk, which a running server follows by itself."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

import typer

from cellserve.service.cli import describing
from cellserve.service.cli.completion import references
from cellserve.service.cli.options import JsonOption, RepositoryOption, open_repository
from cellserve.service.cli.output import note, print_json, print_table
from cellserve.service.config import Settings
from cellserve.service.errors import InvalidInput
from cellserve.service.registry.calibration import machine
from cellserve.service.registry.calibration.cache import CalibrationCache
from cellserve.service.registry.manifest import STABLE, ModelRef, check_alias_name
from cellserve.service.registry.model_settings import SETTINGS_FILE, ModelSettings
from cellserve.service.registry.policy.split import Weights, split_words
from cellserve.service.registry.repository.alias_history import AliasMove, Trail
from cellserve.service.registry.repository.model_on_disk import read_model
from cellserve.service.registry.repository.repository import Repository

_SHOWN_MOVES: Final = 20

Ref = Annotated[
    str, typer.Argument(metavar="REF", help="name, name/3 or name@alias.", show_default=False, autocompletion=references)
]
Version = Annotated[str | None, typer.Argument(metavar="VERSION", help="In place of name/3: name 3.", show_default=False)]


def show(ref: Ref, version: Version = None, repository: RepositoryOption = None, as_json: JsonOption = False) -> None:
    """Show one version: source, layers, implementations and how far each is from the oracle; and how the model's aliases moved.

    cellserve show digits@stable
    """
    store = open_repository(repository)
    key = store.resolve(reference_of(ref, version))
    model = read_model(store, key.model)
    aliases = list(model.aliases_of(key.version))
    manifest = store.manifest(key.model, key.version)
    network = describing.as_data(manifest.spec)
    parity = manifest.parity
    measured = CalibrationCache(Settings().calibration_folder, machine.identity()).on_any_device(manifest)
    if as_json:
        chosen: dict[str, Any] = {"choices": {one.device: dict(one.choices) for one in measured}, "aliases": aliases}
        chosen["alias_history"] = [move.model_dump(mode="json", by_alias=True) for move in model.trail.moves]
        chosen["settings"] = model.settings.model_dump(mode="json", exclude_defaults=True)
        print_json(manifest.model_dump(mode="json", exclude={"golden", "spec"}) | chosen | network)
        return
    source = manifest.source
    print_table(
        str(key),
        ("what", "value"),
        [
            ("aliases", ", ".join(aliases) or "none"),
            *((f"{alias} is split", split_words(split)) for alias, split in model.splits.items() if key.version in split),
            ("created", f"{manifest.created:%Y-%m-%d %H:%M:%S} UTC"),
            ("source", f"{source.file} ({source.framework} {source.version}".rstrip() + ")"),
            ("source digest", source.digest),
            ("weights digest", manifest.weights_digest),
            ("parameters", f"{network['parameters']:,}"),
            ("outputs", ", ".join(f"{name} {shape}" for name, shape in network["outputs"].items())),
            ("computed in", network["passes"]),
            ("checked against", describing.agreement(parity.framework) or "nothing that the framework answered itself"),
            *((f"tag {name}", value) for name, value in manifest.tags.items()),
            *((f"label {name}", value) for name, value in model.settings.labels.items()),
            *(("note", remark) for remark in manifest.notes),
            *(("problem", problem) for problem in (*model.problems, *filter(None, [model.failing.get(key.version)]))),
        ],
    )
    describing.print_network(network)
    agreed = {
        label: f"differs from the oracle by at most {difference:.1e} (allowed {parity.bound:.1e})"
        for label, difference in parity.differences.items()
    }
    describing.print_implementations(agreed | dict(parity.refused))
    describing.print_choices({one.device: one.choices for one in measured})
    print_settings(key.model, model.settings)
    print_moves(key.model, model.trail)


def promote(
    ref: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Name of the model, or name/3.", show_default=False, autocompletion=references),
    ],
    version: Version = None,
    alias: Annotated[str, typer.Option("--alias", help="The alias to move; requests without a version go to `stable`.")] = STABLE,
    share: Annotated[
        float | None,
        typer.Option("--share", metavar="SHARE", parser=parse_share, help="Give it only this share of the requests: 10% or 0.1."),
    ] = None,
    repository: RepositoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Point an alias at a version, once its digest and golden pair are found right; one that cannot be served is refused.

    A running server loads the version first, then moves; nothing is interrupted.

        cellserve promote digits 3 --alias stable
        cellserve promote digits/3
        cellserve promote digits 4 --share 10%
    """
    check_alias_name(alias)
    reference = reference_of(ref, version)
    if reference.version is None and reference.alias is None:
        raise InvalidInput(f"which version of {reference.model}? Give its number, as in: cellserve promote {reference.model} 3")
    store = open_repository(repository)
    key = store.resolve(reference)

    from cellserve.service.registry import verifying

    for label, reason in verifying.require_servable(store, key).items():
        note(f"{key} will not offer implementation {label} on a machine like this one: {reason}")
    split: Weights = {}
    if share is None or share == 1:
        store.set_alias(key.model, alias, key.version)
    else:
        split = store.split_alias(key.model, alias, key.version, share)
    if as_json:
        print_json({"model": key.model, "alias": alias, "version": key.version} | ({"split": split} if split else {}))
    else:
        typer.echo(f"{key.model}@{alias} is split: {split_words(split)}" if split else f"{key.model}@{alias} is {key}")


def remove(
    ref: Ref,
    version: Version = None,
    repository: RepositoryOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove a model (name), a version (name/3) or an alias (name@canary). A version that an alias points at stays.

    cellserve remove digits/1
    """
    reference = reference_of(ref, version)
    store = open_repository(repository)
    if reference.version is not None or reference.alias is not None:
        store.resolve(reference)
    question = f"Remove {_named(store, reference)}?"
    if not yes:
        typer.confirm(question, abort=True, err=True)
    store.remove(reference)
    if as_json:
        print_json({"removed": str(reference)})
    else:
        typer.echo(f"removed {reference}")


def reference_of(ref: str, version: str | None) -> ModelRef:
    """`name/3`, or `name 3`. Raises InvalidInput."""
    reference = ModelRef.parse(ref)
    if version is None:
        return reference
    if reference.version is not None or reference.alias is not None:
        raise InvalidInput(f"{ref} names a version already, and {version!r} is given beside it: give one of them")
    separator = "/" if version[:1].isdigit() else "@"
    return ModelRef.parse(f"{ref}{separator}{version}")


def print_settings(model: str, settings: ModelSettings) -> None:
    """What model.yaml says that is not the default; labels are told with the version."""
    said = settings.model_dump(mode="json", exclude_defaults=True, exclude={"labels"})
    if said:
        rows = [(name, json.dumps(value).strip('"')) for name, value in said.items()]
        print_table(f"Settings of {model}, from {SETTINGS_FILE}", ("setting", "value"), rows)


def print_moves(model: str, trail: Trail) -> None:
    """The last ones of a model's aliases; --json tells all."""
    if not trail.moves:
        return
    earlier = f", the last {_SHOWN_MOVES} of {len(trail.moves)}" if len(trail.moves) > _SHOWN_MOVES else ""
    rows = [
        (f"{move.when:%Y-%m-%d %H:%M:%S} UTC", move.alias, move.before or "", _moved_to(move), move.told_by)
        for move in trail.moves[-_SHOWN_MOVES:]
    ]
    print_table(f"Moves of the aliases of {model}{earlier}", ("when", "alias", "#from", "#to", "by"), rows)
    if trail.unreadable:
        note(f"{trail.unreadable} lines of the history of aliases cannot be read")


def parse_share(text: str) -> float:
    """`10%` or `0.1`. Raises BadParameter."""
    try:
        share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise typer.BadParameter(f"{text!r} is no share: write a percentage, as in 10%, or a number up to 1, as in 0.1")
    return share


def _moved_to(move: AliasMove) -> str:
    return split_words(move.split) if move.split else str(move.after or "")


def _named(store: Repository, reference: ModelRef) -> str:
    if reference.alias is not None:
        return f"the alias {reference}"
    if reference.version is not None:
        return f"version {reference}"
    return f"the model {reference} with all its versions ({', '.join(map(str, store.versions(reference.model)))})"
