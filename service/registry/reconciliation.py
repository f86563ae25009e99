"""Decides what the catalog does next. Pure: the same wanted versions and states give the same action.

One rule carries availability: whatever is wanted is loaded before anything unwanted of the same model is unloaded. Knows no
disk, no threads, no engine.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cellserve.service.engine.facts import VersionKey
from cellserve.service.registry.status import VersionState


@dataclass(frozen=True, slots=True)
class Load:
    key: VersionKey


@dataclass(frozen=True, slots=True)
class Unload:
    key: VersionKey


Action = Load | Unload

_LOADABLE = frozenset({VersionState.UNKNOWN, VersionState.UNLOADING, VersionState.UNLOADED})
_UNSETTLED = _LOADABLE | {VersionState.LOADING}


def next_action(wanted: frozenset[VersionKey], states: Mapping[VersionKey, VersionState]) -> Action | None:
    """The next thing to do, or None when nothing is left to start.

    Loads come first, newest version first within a model; to load a version that is UNLOADING is to keep it. A READY version
    that is not wanted is unloaded only when no wanted version of its model is still to be loaded. FAILED versions are left
    alone: whoever wants another try makes them UNKNOWN.
    """
    for key in sorted(wanted, key=lambda key: (key.model, -key.version)):
        if states.get(key, VersionState.UNKNOWN) in _LOADABLE:
            return Load(key)
    unsettled = {key.model for key in wanted if states.get(key, VersionState.UNKNOWN) in _UNSETTLED}
    for key in sorted(states):
        if states[key] is VersionState.READY and key not in wanted and key.model not in unsettled:
            return Unload(key)
    return None


def held_versions(
    targets: Mapping[tuple[str, str], VersionKey],
    live: Mapping[tuple[str, str], VersionKey],
    states: Mapping[VersionKey, VersionState],
) -> frozenset[VersionKey]:
    """Versions kept although nothing on disk names them any more, because their successor is not READY (yet, or ever).

    targets: (model, alias) → the version the repository names now; alias "" is the newest version.
    live: (model, alias) → the version that answers now.
    """
    return frozenset(
        live[pointer]
        for pointer, target in targets.items()
        if pointer in live and live[pointer] != target and states.get(target) is not VersionState.READY
    )


def fallbacks(
    targets: Mapping[tuple[str, str], VersionKey],
    answered: Mapping[tuple[str, str], Sequence[int]],
    states: Mapping[VersionKey, VersionState],
    published: Collection[VersionKey],
) -> dict[tuple[str, str], VersionKey]:
    """The versions to answer by in place of targets that are FAILED, or not published (any more): those that served last.

    answered: (model, alias) → the versions that have answered it, the last one first. One that is FAILED itself is passed over.
    """

    def usable(key: VersionKey) -> bool:
        return key in published and states.get(key) is not VersionState.FAILED

    found = {}
    for pointer, target in targets.items():
        if not usable(target):
            keys = (VersionKey(pointer[0], version) for version in answered.get(pointer, ()))
            for key in (key for key in keys if usable(key)):
                found[pointer] = key
                break
    return found
