"""What the repository held when it was last read: the catalog decides from this, never from the disk.

Knows no engine and nothing of what is loaded.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import UnknownModel, UnknownVersion, VersionUnavailable
from cellserve.service.registry.manifest import STABLE, parse_version
from cellserve.service.registry.policy.previous import Departure, Pointer, last_departures
from cellserve.service.registry.policy.split import Weights
from cellserve.service.registry.repository.alias_history import differences
from cellserve.service.registry.repository.layout import Fingerprint
from cellserve.service.registry.repository.model_on_disk import ModelOnDisk, read_model
from cellserve.service.registry.repository.repository import Repository
from cellserve.service.registry.repository.served import Answered

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    models: Mapping[str, ModelOnDisk] = field(default_factory=dict)

    def holds(self, key: VersionKey) -> bool:
        return key.model in self.models and key.version in self.models[key.model].versions

    def fingerprint(self, key: VersionKey) -> Fingerprint:
        return self.models[key.model].versions[key.version] if self.holds(key) else ()

    def keys(self) -> list[VersionKey]:
        return [VersionKey(name, version) for name, model in self.models.items() for version in model.versions]

    def aliases_of(self, key: VersionKey) -> tuple[str, ...]:
        model = self.models.get(key.model)
        return () if model is None else model.aliases_of(key.version)

    def splits_of(self, key: VersionKey) -> tuple[str, ...]:
        """Aliases of which it has a share."""
        model = self.models.get(key.model)
        return () if model is None else tuple(sorted(alias for alias, split in model.splits.items() if key.version in split))

    def dangling(self) -> dict[VersionKey, str]:
        """Versions that aliases point at and that are not there: what to tell of each."""
        return {
            VersionKey(name, version): words for name, model in self.models.items() for version, words in model.dangling.items()
        }

    def problems(self, model: str) -> tuple[str, ...]:
        """What is wrong with a model as a whole."""
        return self.models[model].problems if model in self.models else ()

    def answered(self, pointer: Pointer) -> Answered:
        """By which versions a server has answered it."""
        name, alias = pointer
        return self.models[name].served.get(alias, Answered()) if name in self.models else Answered()

    def targets(self) -> Mapping[Pointer, VersionKey]:
        """Where each alias points, and the empty one."""
        return self._targets

    @cached_property
    def _targets(self) -> dict[Pointer, VersionKey]:
        return {pointer: key for name in self.models for pointer, key in self.targets_of(name).items()}

    def targets_of(self, name: str) -> dict[Pointer, VersionKey]:
        """Those of one model."""
        model = self.models[name]
        aliases = (*model.aliases.items(), ("", model.default))
        return {(name, alias): VersionKey(name, version) for alias, version in aliases}

    def split(self, pointer: Pointer) -> Weights | None:
        """How its requests are shared between versions; None: they are not."""
        name, alias = pointer
        return self.models[name].splits.get(alias or STABLE) if name in self.models else None

    def departures(self) -> dict[Pointer, Departure]:
        """What each alias left last, and when, by the histories."""
        left: dict[Pointer, Departure] = {}
        for name, model in self.models.items():
            moves = ((move.alias, move.before, move.when.timestamp()) for move in model.trail.moves)
            left |= last_departures(moves, name)
        return left

    def wanted(self) -> frozenset[VersionKey]:
        """Every version that an alias names, that a request without a version means, or that the model's owner wants."""
        asked = {VersionKey(name, version) for name, model in self.models.items() for version in model.asked_to_stay}
        return frozenset(key for key in asked | set(self.targets().values()) if self.holds(key))

    def pointer_or_key(self, name: str, version: str) -> Pointer | VersionKey:
        """What a request's model and version name: an alias ("" too), or one version by number.

        Raises UnknownModel, UnknownVersion, VersionUnavailable (the aliases cannot be read).
        """
        model = self.models.get(name)
        if model is None:
            raise UnknownModel(
                f"there is no model {name!r}; the models are: {', '.join(sorted(self.models)) or 'none yet'}", field="model"
            )
        number = parse_version(version)
        if number is not None:
            if number not in model.versions:
                raise UnknownVersion(f"{name} has no version {number}; it has {_listed(model.versions)}", field="version")
            return VersionKey(name, number)
        if model.problem and (version or STABLE) not in model.aliases:
            raise VersionUnavailable(f"which version of {name} answers cannot be told: {model.problem}", field="version")
        if version and version not in model.aliases:
            raise UnknownVersion(
                f"{name} has no version or alias {version!r}; its versions: {_listed(model.versions)}; "
                f"its aliases: {', '.join(sorted(model.aliases)) or 'none'}",
                field="version",
            )
        return (name, version)


def read(repository: Repository, previous: Snapshot) -> Snapshot:
    """The repository as it is now. A model that vanishes meanwhile is left out. Raises RepositoryError (the root itself)."""
    models = {}
    for name in repository.models():
        try:
            models[name] = read_model(repository, name, previous.models.get(name))
        except UnknownModel:
            log.info("model %s was removed while it was read", name)
    return Snapshot(models)


def tell(before: Snapshot, now: Snapshot) -> None:
    """In the log: every alias that moved since, and what has gone wrong since."""
    for name, model in now.models.items():
        known = before.models.get(name)
        for line in _moves(name, known, model):
            log.info("%s", line)
        known_problems = set() if known is None else {*known.problems, *known.dangling.values()}
        for problem in (*model.problems, *model.dangling.values()):
            if problem not in known_problems:
                log.warning("%s", problem)


def _moves(name: str, before: ModelOnDisk | None, now: ModelOnDisk) -> Iterator[str]:
    """Nothing of a model that has just been found: its aliases stand where they stood."""
    if before is None:
        return
    for move in differences(before.aliases, now.aliases, splits_before=before.splits, splits_after=now.splits):
        last = now.trail.last(move.alias)
        told = (
            last if last is not None and (last.before, last.after, last.split) == (move.before, move.after, move.split) else move
        )
        yield f"{name}@{move.alias} moved: {told.words}"


def _listed(versions: Mapping[int, Fingerprint]) -> str:
    return ", ".join(map(str, sorted(versions)))
