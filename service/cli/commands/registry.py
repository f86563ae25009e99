"""`cellserve show`, `promote` and `remove`: the repository on disk, which a running server follows by itself, or
that of a server (--url)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from cellserve.service.cli import describing
from cellserve.service.cli.completion import references
from cellserve.service.cli.options import JsonOption, RepositoryOption, open_repository
from cellserve.service.cli.output import note, print_json, print_table
from cellserve.service.cli.server_options import Server, asks_a_server
from cellserve.service.config import Settings
from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import InvalidInput
from cellserve.service.registry.calibration import machine
from cellserve.service.registry.calibration.cache import CalibrationCache
from cellserve.service.registry.manifest import STABLE, Manifest, ModelRef, check_alias_name
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


def parse_share(text: str) -> float:
    """`10%` or `0.1`. Raises BadParameter."""
    try:
        share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise typer.BadParameter(f"{text!r} is no share: write a percentage, as in 10%, or a number up to 1, as in 0.1")
    return share


@asks_a_server(None, "Ask this running server instead, host:port or grpcs://host:port.")
def show(
    server: Server | None,
    ref: Ref,
    version: Version = None,
    repository: RepositoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one version: source, layers, implementations and how far each is from the oracle; and how the model's aliases moved.

    cellserve show digits@stable
    cellserve show digits --url localhost:8001
    """
    reference = reference_of(ref, version)
    if server is not None and server.instead_of(repository):
        shown, measured = _shown_by(server, reference), []
    else:
        shown = _shown_in(open_repository(repository), reference)
        measured = CalibrationCache(Settings().calibration_folder, machine.identity()).on_any_device(shown.manifest)
    manifest, aliases = shown.manifest, list(shown.aliases)
    key, parity = manifest.key, manifest.parity
    network = describing.as_data(manifest.spec)
    if as_json:
        chosen: dict[str, Any] = {"choices": {one.device: dict(one.choices) for one in measured}, "aliases": aliases}
        chosen["alias_history"] = [move.model_dump(mode="json", by_alias=True) for move in shown.trail.moves]
        chosen["splits"] = {alias: dict(split) for alias, split in shown.splits.items()}
        chosen["settings"] = shown.settings.model_dump(mode="json", exclude_defaults=True)
        chosen["published_by"] = shown.published_by
        print_json(manifest.model_dump(mode="json", exclude={"golden", "spec"}) | chosen | network)
        return
    source = manifest.source
    print_table(
        str(key),
        ("what", "value"),
        [
            ("aliases", ", ".join(aliases) or "none"),
            *((f"{alias} is split", split_words(split)) for alias, split in shown.splits.items() if key.version in split),
            ("created", f"{manifest.created:%Y-%m-%d %H:%M:%S} UTC"),
            *([("published by", shown.published_by)] if shown.published_by else []),
            ("source", f"{source.file} ({source.framework} {source.version}".rstrip() + ")"),
            ("source digest", source.digest),
            ("weights digest", manifest.weights_digest),
            ("parameters", f"{network['parameters']:,}"),
            ("outputs", ", ".join(f"{name} {shape}" for name, shape in network["outputs"].items())),
            ("computed in", network["passes"]),
            ("checked against", describing.agreement(parity.framework) or "nothing that the framework answered itself"),
            *((f"tag {name}", value) for name, value in manifest.tags.items()),
            *((f"label {name}", value) for name, value in shown.settings.labels.items()),
            *(("note", remark) for remark in manifest.notes),
            *(("problem", problem) for problem in shown.problems),
        ],
    )
    describing.print_network(network)
    agreed = {
        label: f"differs from the oracle by at most {difference:.1e} (allowed {parity.bound:.1e})"
        for label, difference in parity.differences.items()
    }
    describing.print_implementations(agreed | dict(parity.refused))
    describing.print_choices({one.device: one.choices for one in measured})
    print_settings(key.model, shown.settings)
    print_moves(key.model, shown.trail)


@asks_a_server(None, "Have this running server do it, host:port or grpcs://host:port.")
def promote(
    server: Server | None,
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
        cellserve promote digits 4 --share 10% --url localhost:8001
    """
    check_alias_name(alias)
    reference = reference_of(ref, version)
    if reference.version is None and reference.alias is None:
        raise InvalidInput(f"which version of {reference.model}? Give its number, as in: cellserve promote {reference.model} 3")
    if server is not None and server.instead_of(repository):
        key, split = _promoted_by(server, reference, alias, share or 1.0)
    else:
        key, split = _promoted(open_repository(repository), reference, alias, share)
    if as_json:
        print_json({"model": key.model, "alias": alias, "version": key.version} | ({"split": split} if split else {}))
    else:
        typer.echo(f"{key.model}@{alias} is split: {split_words(split)}" if split else f"{key.model}@{alias} is {key}")


@asks_a_server(None, "Have this running server do it, host:port or grpcs://host:port.")
def remove(
    server: Server | None,
    ref: Ref,
    version: Version = None,
    repository: RepositoryOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove a model (name), a version (name/3) or an alias (name@canary). A version that an alias points at stays.

    cellserve remove digits/1
    cellserve remove digits/1 --url localhost:8001
    """
    reference = reference_of(ref, version)
    if server is not None and server.instead_of(repository):
        _remove_from(server, reference, yes=yes)
    else:
        _remove_in(open_repository(repository), reference, yes=yes)
    if as_json:
        print_json({"removed": str(reference)})
    else:
        typer.echo(f"removed {reference}")


def _remove_in(store: Repository, reference: ModelRef, *, yes: bool) -> None:
    if reference.version is not None or reference.alias is not None:
        store.resolve(reference)
    question = f"Remove {_named(reference, store.versions(reference.model))}?"
    if not yes:
        typer.confirm(question, abort=True, err=True)
    store.remove(reference)


def _remove_from(server: Server, reference: ModelRef, *, yes: bool) -> None:
    with server.client() as client:
        versions = [each.version for each in client.versions(reference.model)]
        if not yes:
            typer.confirm(f"Remove {_named(reference, versions)} from {server.url}?", abort=True, err=True)
        client.remove(str(reference))


def _promoted(store: Repository, reference: ModelRef, alias: str, share: float | None) -> tuple[VersionKey, Weights]:
    """The version, and how the alias is split; without a split, empty."""
    from cellserve.service.registry import verifying

    key = store.resolve(reference)
    for label, reason in verifying.require_servable(store, key).items():
        note(f"{key} will not offer implementation {label} on a machine like this one: {reason}")
    if share is None or share == 1:
        store.set_alias(key.model, alias, key.version)
        return key, {}
    return key, store.split_alias(key.model, alias, key.version, share)


def _promoted_by(server: Server, reference: ModelRef, alias: str, share: float) -> tuple[VersionKey, Weights]:
    """As `_promoted`."""
    with server.client() as client:
        number = reference.version or client.show(str(reference)).status.version
        client.promote(reference.model, number, alias, share)
        return VersionKey(reference.model, number), client.show(f"{reference.model}/{number}").splits.get(alias, {})


@dataclass(frozen=True, slots=True)
class Shown:
    """A version with what lies around it."""

    manifest: Manifest
    aliases: tuple[str, ...]
    trail: Trail
    problems: tuple[str, ...]
    published_by: str
    settings: ModelSettings
    splits: Mapping[str, Weights]


def _shown_in(store: Repository, reference: ModelRef) -> Shown:
    key = store.resolve(reference)
    model = read_model(store, key.model)
    problems = (*model.problems, *filter(None, [model.failing.get(key.version)]))
    publication = store.publication(key)
    by = "" if publication is None else publication.by
    return Shown(
        store.manifest(key.model, key.version),
        tuple(model.aliases_of(key.version)),
        model.trail,
        problems,
        by,
        model.settings,
        model.splits,
    )


def _shown_by(server: Server, reference: ModelRef) -> Shown:
    with server.client() as client:
        described = client.show(str(reference))
        status = described.status
        manifest = Manifest.model_validate_json(client.manifest(f"{status.model}/{status.version}"))
    moves = tuple(
        AliasMove(
            when=move.when, alias=move.alias, before=move.before, after=move.after, by=move.by, found=move.found, split=move.split
        )
        for move in described.alias_history
    )
    problems = tuple(filter(None, [status.reason]))
    settings = ModelSettings(labels=described.labels)
    return Shown(manifest, status.aliases, Trail(moves), problems, described.published_by, settings, described.splits)


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


def _moved_to(move: AliasMove) -> str:
    return split_words(move.split) if move.split else str(move.after or "")


def _named(reference: ModelRef, versions: Iterable[int]) -> str:
    if reference.alias is not None:
        return f"the alias {reference}"
    if reference.version is not None:
        return f"version {reference}"
    return f"the model {reference} with all its versions ({', '.join(map(str, versions))})"
