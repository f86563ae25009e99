"""A version with what lies around it, from a folder or from a server, and how the command line tells of that."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from cellserve.service.cli.output import note, print_table
from cellserve.service.cli.server_options import Server
from cellserve.service.registry.manifest import Manifest, ModelRef
from cellserve.service.registry.model_settings import SETTINGS_FILE, ModelSettings
from cellserve.service.registry.policy.durations import duration_words
from cellserve.service.registry.policy.rollout import Rollout
from cellserve.service.registry.policy.split import Weights, split_words
from cellserve.service.registry.repository.alias_history import AliasMove, Trail
from cellserve.service.registry.repository.model_on_disk import read_model
from cellserve.service.registry.repository.repository import Repository

_SHOWN_MOVES: Final = 20


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
    rollouts: Sequence[Rollout]
    memory_bytes: int = 0  # of a server's; 0: it is not loaded there


def shown_in(store: Repository, reference: ModelRef) -> Shown:
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
        list(store.rollouts(key.model).values()),
    )


def shown_by(server: Server, reference: ModelRef) -> Shown:
    with server.client() as client:
        described = client.show(str(reference))
        status = described.status
        manifest = Manifest.model_validate_json(client.manifest(f"{status.model}/{status.version}"))
    moves = tuple(
        AliasMove(
            when=move.when,
            alias=move.alias,
            before=move.before,
            after=move.after,
            by=move.by,
            found=move.found,
            split=move.split,
            why=move.why,
        )
        for move in described.alias_history
    )
    problems = tuple(filter(None, [status.reason]))
    settings = ModelSettings(labels=described.labels)
    rollouts = [Rollout(**asdict(rollout)) for rollout in described.rollouts]
    return Shown(
        manifest,
        status.aliases,
        Trail(moves),
        problems,
        described.published_by,
        settings,
        described.splits,
        rollouts,
        status.memory_bytes,
    )


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
    moves = trail.moves[-_SHOWN_MOVES:]
    headings = ("when", "alias", "#from", "#to", "by", *(["why"] if any(move.why for move in moves) else []))
    rows = [
        (f"{move.when:%Y-%m-%d %H:%M:%S} UTC", move.alias, move.before or "", _moved_to(move), move.told_by, move.why)
        for move in moves
    ]
    print_table(f"Moves of the aliases of {model}{earlier}", headings, [row[: len(headings)] for row in rows])
    if trail.unreadable:
        note(f"{trail.unreadable} lines of the history of aliases cannot be read")


def _moved_to(move: AliasMove) -> str:
    return split_words(move.split) if move.split else str(move.after or "")


def print_rollouts(model: str, rollouts: Sequence[Rollout]) -> None:
    """The last one of each alias."""
    if not rollouts:
        return
    rows = [(f"{one.began:%Y-%m-%d %H:%M:%S} UTC", one.alias, one.words, one.seen, one.by) for one in rollouts]
    print_table(f"Gradual promotes of {model}", ("began", "alias", "walk", "seen", "by"), rows)


def begun_words(model: str, rollout: Rollout) -> str:
    """What the one who asked for it is told."""
    way = f"{model}@{rollout.alias} walks from {rollout.before} to {rollout.version} in {duration_words(rollout.seconds)}"
    stops = f"; it goes back if {rollout.stop_if}" if rollout.stop_if else ""
    return f"{way}, {100 * rollout.share:g}% for now{stops}"
