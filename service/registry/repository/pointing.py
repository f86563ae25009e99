"""What the aliases of a model become when one is pointed, split, walked or taken away, of what they are. Pure.

Whether versions exist is asked before. Knows no disk and no store.
"""

from __future__ import annotations

from cellserve.service.errors import InvalidInput
from cellserve.service.registry.policy.split import Weights, checked, main_version, meaning_of, with_share
from cellserve.service.registry.repository.aliases import AliasTable


class MovedMeanwhile(Exception):
    """An alias does not mean any more what it is to be moved from."""


def pointed(known: AliasTable, alias: str, version: int) -> AliasTable:
    """At this version alone."""
    return AliasTable(known.versions | {alias: version}, _without_split(known, alias))


def shared(known: AliasTable, model: str, alias: str, version: int, share: float) -> AliasTable:
    """`version` has this share, the rest is the version's that the alias means. Raises InvalidInput."""
    if alias not in known.versions:
        raise InvalidInput(f"{model} has no alias {alias!r} to give a share of; promote a version to it first", field="alias")
    shared_with = known.splits.get(alias, {known.versions[alias]: 1.0}).keys() - {version}
    if len(shared_with) != 1:
        raise InvalidInput(f"{model}@{alias} means version {version} alone: there is nothing to share", field="version")
    try:
        weights = with_share(version, share, min(shared_with))
    except ValueError as error:
        raise InvalidInput(f"{model}@{alias}: {error}", field="share") from error
    return AliasTable(known.versions | {alias: main_version(weights)}, known.splits | {alias: weights})


def walked(known: AliasTable, alias: str, before: Weights, after: Weights) -> AliasTable:
    """Shared as `after` says. Raises MovedMeanwhile: it does not mean `before`."""
    if meaning_of(alias, *known) != before:
        raise MovedMeanwhile
    splits = _without_split(known, alias)
    if len(after) > 1:
        splits[alias] = checked(after)
    return AliasTable(known.versions | {alias: main_version(after)}, splits)


def removed(known: AliasTable, alias: str) -> AliasTable:
    """`alias` is one of them."""
    versions = {name: version for name, version in known.versions.items() if name != alias}
    return AliasTable(versions, _without_split(known, alias))


def pointing_at(known: AliasTable, version: int) -> list[str]:
    """Aliases that name it, also for a share."""
    return [alias for alias, target in known.versions.items() if version in (target, *known.splits.get(alias, ()))]


def _without_split(known: AliasTable, alias: str) -> dict[str, dict[int, float]]:
    return {name: split for name, split in known.splits.items() if name != alias}
