"""What each alias means now: the version that the repository names once that is READY, until then whichever answered before, and
where the named one cannot be served, the last one that served.

Decides from the snapshot and the states of versions, which it is told; remembers who answers. Knows no disk and no engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import UnknownVersion
from cellserve.service.registry.manifest import STABLE
from cellserve.service.registry.policy.previous import Pointer
from cellserve.service.registry.policy.split import pick
from cellserve.service.registry.reconciliation import fallbacks, held_versions
from cellserve.service.registry.repository.served import Answered, Served
from cellserve.service.registry.snapshot import Snapshot
from cellserve.service.registry.status import AliasStatus, VersionState

_ANSWERS: Final = (VersionState.READY, VersionState.UNLOADING)


class Pointers:
    """state: of a version now. reason: why it is FAILED."""

    def __init__(self, state: Callable[[VersionKey], VersionState], reason: Callable[[VersionKey], str]) -> None:
        self._state = state
        self._reason = reason
        self._snapshot = Snapshot()
        self._answering: dict[Pointer, VersionKey] = {}  # may trail behind the repository

    def follow(self, snapshot: Snapshot) -> None:
        """After each reading of the repository and change of a state: every alias whose named version is READY moves there."""
        self._snapshot = snapshot
        targets = snapshot.targets()
        self._answering = {pointer: key for pointer, key in self._answering.items() if pointer in targets}
        self._answering |= {pointer: key for pointer, key in targets.items() if self._state(key) is VersionState.READY}
        for pointer, key in self._fallbacks(targets).items():
            if self._answer(pointer) is None and self._state(key) is VersionState.READY:
                self._answering[pointer] = key

    @property
    def answering(self) -> Mapping[Pointer, VersionKey]:
        """Which version answers each alias, or did last."""
        return self._answering

    def resolve(self, model: str, version: str, point: Callable[[], float] | None = None) -> VersionKey:
        """point: where in [0, 1) of a split alias the request lies; None: with its main version, to which a version that cannot
        serve leaves its share. Raises UnknownModel, UnknownVersion, VersionUnavailable.
        """
        named = self._snapshot.pointer_or_key(model, version)
        if isinstance(named, VersionKey):
            return named
        if point is not None and (split := self._snapshot.split(named)) is not None:
            picked = VersionKey(model, pick(split, point()))
            if self._state(picked) in _ANSWERS and self._snapshot.holds(picked):
                return picked
        target = self._snapshot.targets()[named]
        if (key := self._answer(named) or self._fallbacks({named: target}).get(named)) is not None:
            return key
        if not self._snapshot.holds(target):
            raise UnknownVersion(
                f"the alias {named[1] or 'stable'!r} of {model} points at version {target.version}, which does not exist",
                field="version",
            )
        return target

    def kept(self) -> frozenset[VersionKey]:
        """Versions that must stay, or come, although the repository does not name them."""
        targets = self._snapshot.targets()
        held = held_versions(targets, self._answering, {key: self._state(key) for key in targets.values()})
        missed = {key for pointer, key in self._fallbacks(targets).items() if self._answer(pointer) is None}
        return frozenset(key for key in held | missed if self._snapshot.holds(key))

    def statuses(self) -> list[AliasStatus]:
        """Of every alias, and of what a request without a version means, by model and name."""
        return [self._alias(pointer, target) for pointer, target in sorted(self._snapshot.targets().items())]

    def stand_ins(self) -> dict[VersionKey, str]:
        """Versions that answer for others, and for which and why."""
        fallen_back = told_apart(self.statuses())
        return {
            key: "; ".join(f"{stand_in_words(one)}, which {one.reason}" for one in fallen_back if one.answered_by == key)
            for key in {one.answered_by for one in fallen_back}
            if key is not None
        }

    def record(self, model: str, known: Served) -> dict[str, Answered]:
        """What the next start should know of a model's aliases. known: what is recorded of them so far."""
        statuses = (self._alias(pointer, target) for pointer, target in sorted(self._snapshot.targets_of(model).items()))
        return {one.alias: _recorded(one, known.get(one.alias, Answered())) for one in statuses}

    def _alias(self, pointer: Pointer, target: VersionKey) -> AliasStatus:
        answer, reason = self._answer(pointer), ""
        if answer != target:
            if not self._snapshot.holds(target):
                reason = "does not exist"
            elif self._state(target) is VersionState.FAILED:
                reason = f"failed to load: {self._reason(target)}"
        split = self._snapshot.split(pointer) or {}
        return AliasStatus(*pointer, target.version, None if answer is None else answer.version, reason, split)

    def _answer(self, pointer: Pointer) -> VersionKey | None:
        answer = self._answering.get(pointer)
        return answer if answer is not None and self._state(answer) in _ANSWERS else None

    def _fallbacks(self, targets: Mapping[Pointer, VersionKey]) -> dict[Pointer, VersionKey]:
        """Of these pointers."""
        models = {model for model, _ in targets}
        published = {VersionKey(model, version) for model in models for version in self._snapshot.models[model].versions}
        answered = {pointer: self._snapshot.answered(pointer).versions for pointer in targets}
        return fallbacks(targets, answered, {key: self._state(key) for key in published}, published)


def _recorded(alias: AliasStatus, known: Answered) -> Answered:
    if alias.answering == alias.version:
        return known.serving(alias.version)
    return known.fallen_back(alias.version, alias.reason) if alias.reason else known


def told_apart(aliases: Iterable[AliasStatus]) -> list[AliasStatus]:
    """Those that have fallen back; what a request without a version means only where `stable` does not mean the same."""
    fallen_back = [one for one in aliases if one.fallen_back]
    stable = {one.model for one in fallen_back if one.alias == STABLE}
    return [one for one in fallen_back if one.alias or one.model not in stable]


def stand_in_words(alias: AliasStatus) -> str:
    """Of one that has fallen back, for whoever may call the server: not why."""
    asked = f"for the alias {alias.alias!r}" if alias.alias else "requests without a version"
    return f"answers {asked}, as the last one that served, in place of version {alias.version}"
