"""`cellserve show`, `promote` and `remove`: the repository on disk, which a running server follows by itself, or
that of a server (--url)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any

import typer

from cellserve.service.cli import describing
from cellserve.service.cli.completion import references
from cellserve.service.cli.options import JsonOption, RepositoryOption, open_repository
from cellserve.service.cli.output import note, print_json, print_table
from cellserve.service.cli.server_options import Server, asks_a_server
from cellserve.service.cli.shown import begun_words, print_moves, print_rollouts, print_settings, shown_by, shown_in
from cellserve.service.config import Settings
from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import InvalidInput
from cellserve.service.registry.calibration import machine
from cellserve.service.registry.calibration.cache import CalibrationCache
from cellserve.service.registry.manifest import STABLE, ModelRef, check_alias_name
from cellserve.service.registry.memory.budget import size_words
from cellserve.service.registry.policy.durations import parse_seconds
from cellserve.service.registry.policy.rollout import Rollout
from cellserve.service.registry.policy.split import Weights, parse_share, split_words
from cellserve.service.registry.repository.repository import Repository
from cellserve.service.registry.rollout.bounds import bounds_text, parse_bounds

Ref = Annotated[
    str, typer.Argument(metavar="REF", help="name, name/3 or name@alias.", show_default=False, autocompletion=references)
]
Version = Annotated[str | None, typer.Argument(metavar="VERSION", help="In place of name/3: name 3.", show_default=False)]


def share_of(text: str) -> float:
    """Raises BadParameter."""
    try:
        return parse_share(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def parse_time(text: str) -> float:
    """`10m`, `90s`. Raises BadParameter."""
    try:
        seconds = parse_seconds(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if not seconds:
        raise typer.BadParameter("no time is no gradual promote; leave it out to promote at once")
    return seconds


def parse_stop_if(text: str) -> str:
    """Raises BadParameter."""
    try:
        return bounds_text(parse_bounds(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


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
        shown, measured = shown_by(server, reference), []
    else:
        shown = shown_in(open_repository(repository), reference)
        measured = CalibrationCache(Settings().calibration_folder, machine.identity()).on_any_device(shown.manifest)
    manifest, aliases = shown.manifest, list(shown.aliases)
    key, parity = manifest.key, manifest.parity
    network = describing.as_data(manifest.spec)
    if as_json:
        chosen: dict[str, Any] = {"choices": {one.device: dict(one.choices) for one in measured}, "aliases": aliases}
        chosen["alias_history"] = [move.model_dump(mode="json", by_alias=True) for move in shown.trail.moves]
        chosen["splits"] = {alias: dict(split) for alias, split in shown.splits.items()}
        chosen["rollouts"] = [rollout.model_dump(mode="json") for rollout in shown.rollouts]
        chosen["settings"] = shown.settings.model_dump(mode="json", exclude_defaults=True)
        chosen["published_by"] = shown.published_by
        chosen["memory_bytes"] = shown.memory_bytes
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
            *([("memory", size_words(shown.memory_bytes))] if shown.memory_bytes else []),
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
        label: f"differs from the oracle by at most {difference:.1e} (allowed {manifest.bound_of(label) or parity.bound:.1e})"
        for label, difference in parity.differences.items()
    }
    describing.print_implementations(agreed | dict(parity.refused))
    describing.print_choices({one.device: one.choices for one in measured})
    print_settings(key.model, shown.settings)
    print_rollouts(key.model, shown.rollouts)
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
        typer.Option("--share", metavar="SHARE", parser=share_of, help="Give it only this share of the requests: 10% or 0.1."),
    ] = None,
    gradually_seconds: Annotated[
        float | None,
        typer.Option(
            "--gradually",
            metavar="TIME",
            parser=parse_time,
            help="Have the server give it 1, 5, 10, 25, 50 and 75% of the requests and then all, within this time: 10m.",
        ),
    ] = None,
    stop_if: Annotated[
        str,
        typer.Option(
            "--stop-if",
            metavar="BOUNDS",
            parser=parse_stop_if,
            help="What has the server go back by itself: errors > 1%, difference > 1e-3, p99 > 2x (or p99 > 50ms).",
            show_default=False,
        ),
    ] = "",
    repository: RepositoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Point an alias at a version, once its digest and golden pair are found right; one that cannot be served is refused.

    A running server loads the version first, then moves; nothing is interrupted.

        cellserve promote digits 3 --alias stable
        cellserve promote digits/3
        cellserve promote digits 4 --share 10%
        cellserve promote digits 4 --share 10% --url localhost:8001
        cellserve promote digits 4 --gradually 10m --stop-if 'errors > 1%, p99 > 2x' --url localhost:8001
    """
    check_alias_name(alias)
    walks = gradually_seconds is not None
    if walks and share is not None:
        raise InvalidInput("--gradually and --share are both given: give one of them")
    if stop_if and not walks:
        raise InvalidInput("--stop-if says when a gradual promote goes back: give --gradually too, as in --gradually 10m")
    reference = reference_of(ref, version)
    if reference.version is None and reference.alias is None:
        raise InvalidInput(f"which version of {reference.model}? Give its number, as in: cellserve promote {reference.model} 3")
    if walks and (server is None or not server.instead_of(repository)):
        raise InvalidInput("a running server walks the alias: name it with --url")
    if server is not None and server.instead_of(repository):
        if gradually_seconds is not None:
            _walked_by(server, reference, alias, gradually_seconds, stop_if, as_json=as_json)
            return
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


def _walked_by(server: Server, reference: ModelRef, alias: str, seconds: float, stop_if: str, *, as_json: bool) -> None:
    with server.client() as client:
        number = reference.version or client.show(str(reference)).status.version
        begun = Rollout(**asdict(client.promote_gradually(reference.model, number, seconds, stop_if, alias)))
    if as_json:
        print_json({"model": reference.model} | begun.model_dump(mode="json"))
    else:
        typer.echo(begun_words(reference.model, begun))


def _promoted_by(server: Server, reference: ModelRef, alias: str, share: float) -> tuple[VersionKey, Weights]:
    """As `_promoted`."""
    with server.client() as client:
        number = reference.version or client.show(str(reference)).status.version
        client.promote(reference.model, number, alias, share)
        return VersionKey(reference.model, number), client.show(f"{reference.model}/{number}").splits.get(alias, {})


def reference_of(ref: str, version: str | None) -> ModelRef:
    """`name/3`, or `name 3`. Raises InvalidInput."""
    reference = ModelRef.parse(ref)
    if version is None:
        return reference
    if reference.version is not None or reference.alias is not None:
        raise InvalidInput(f"{ref} names a version already, and {version!r} is given beside it: give one of them")
    separator = "/" if version[:1].isdigit() else "@"
    return ModelRef.parse(f"{ref}{separator}{version}")


def _named(reference: ModelRef, versions: Iterable[int]) -> str:
    if reference.alias is not None:
        return f"the alias {reference}"
    if reference.version is not None:
        return f"version {reference}"
    return f"the model {reference} with all its versions ({', '.join(map(str, versions))})"
