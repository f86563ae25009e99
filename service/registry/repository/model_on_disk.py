"""One model as its folder says: versions, what its aliases mean, its settings, and what is wrong with them.

Reads no manifests. Knows no engine and nothing of what is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import RepositoryError
from cellserve.service.registry.manifest import STABLE
from cellserve.service.registry.model_settings import ModelSettings
from cellserve.service.registry.policy.split import Weights, meaning_of
from cellserve.service.registry.repository.alias_history import Trail, differences
from cellserve.service.registry.repository.aliases import changed_by_hand
from cellserve.service.registry.repository.layout import Fingerprint
from cellserve.service.registry.repository.repository import Repository
from cellserve.service.registry.repository.served import Served


@dataclass(frozen=True, slots=True)
class ModelOnDisk:
    """One model. `problem`: why its aliases could not be read; they are then the last ones that could, else those of the trail.

    So are `splits`, of those aliases that are split, which then mean their main version, and the settings. `served`: by which
    versions a server has answered its aliases.
    """

    versions: Mapping[int, Fingerprint]
    name: str = ""
    aliases: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""
    settings: ModelSettings = field(default_factory=ModelSettings)
    settings_problem: str = ""
    splits: Mapping[str, Weights] = field(default_factory=dict)
    trail: Trail = field(default_factory=Trail)
    served: Served = field(default_factory=dict, compare=False)

    @property
    def newest(self) -> int:
        return max(self.versions)

    @property
    def default(self) -> int:
        """What an empty version means."""
        return self.aliases.get(STABLE, self.newest)

    def meaning(self, alias: str) -> Weights:
        """Version → its share of the requests; empty: there is no such alias."""
        return meaning_of(alias, self.aliases, self.splits)

    @property
    def asked_to_stay(self) -> set[int]:
        """Loaded, beside what the aliases mean: those that have a share of one, the newest, and those that model.yaml names."""
        newest = sorted(self.versions)[len(self.versions) - min(self.settings.keep_newest, len(self.versions)) :]
        shared = {version for split in self.splits.values() for version in split}
        return {*newest, *shared, *self.settings.named_versions} & set(self.versions)

    @property
    def dangling(self) -> dict[int, str]:
        """Versions that aliases point at and that are not there: what to tell of each."""
        shared = {version for split in self.splits.values() for version in split}
        missing = sorted({*self.aliases.values(), *shared} - set(self.versions))
        return {version: dangling_words(self.name, version, self.aliases_of(version)) for version in missing}

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the model as a whole, a sentence each."""
        if self.problem:
            changed: tuple[str, ...] = ()
        else:
            changed = tuple(changed_by_hand(self.name, self.aliases, self.trail).values())
        return tuple(filter(None, (self.problem, *changed, self.settings_problem, self._missing_pins, self._missing_shadow)))

    @property
    def _missing_pins(self) -> str:
        missing = sorted(set(self.settings.pinned) - set(self.versions))
        return f"model.yaml of {self.name} pins what does not exist: {', '.join(map(str, missing))}" if missing else ""

    @property
    def _missing_shadow(self) -> str:
        shadow = self.settings.shadow
        if shadow is None or shadow.version in self.versions:
            return ""
        return f"model.yaml of {self.name} has requests run on what does not exist: {shadow.version}"

    @property
    def failing(self) -> dict[int, str]:
        """Versions that aliases name and that a server could not serve when it last tried: what to tell of each."""
        told: dict[int, str] = {}
        for alias, answered in sorted(self.served.items()):
            named = self.aliases.get(alias) if alias else self.default
            if answered.failing is not None and answered.failing == named in self.versions:
                stand_in = f"; version {answered.versions[0]} answers for it" if answered.versions else ""
                told.setdefault(answered.failing, f"{answered.reason} (when a server last tried){stand_in}")
        return told

    def seems_half_read(self, previous: ModelOnDisk | None) -> bool:
        """Whether its files say what no change that was read whole would leave, unless somebody damaged or removed something."""
        moved = differences(self.trail.aliases, self.aliases, splits_before=self.trail.splits, splits_after=self.splits)
        gone = () if previous is None else previous.versions.keys() - self.versions.keys()
        missing = self.dangling or self._missing_pins or self._missing_shadow or not all(self.versions.values())
        return bool(self.problem or moved or gone or missing)

    def aliases_of(self, version: int) -> tuple[str, ...]:
        """Those that name it, also for a share."""
        return tuple(sorted(alias for alias, named in self.aliases.items() if version in (named, *self.splits.get(alias, ()))))


def read_model(repository: Repository, name: str, previous: ModelOnDisk | None = None) -> ModelOnDisk:
    """As it is now. previous: as it was read before. Raises UnknownModel.

    Its files are read one after the other, and written so. Where they seem to contradict each other, they are read once more
    while nobody writes: a change that was half written, or half read, is no fault of the model's.
    """
    found = _read(repository, name, previous)
    if found == previous or not found.seems_half_read(previous):
        return found
    with repository.still():
        return _read(repository, name, previous)


def _read(repository: Repository, name: str, previous: ModelOnDisk | None) -> ModelOnDisk:
    versions = {version: repository.fingerprint(VersionKey(name, version)) for version in repository.versions(name)}
    trail = repository.alias_trail(name, previous.trail if previous else None)
    aliases, problem = trail.aliases if previous is None else previous.aliases, ""
    splits = trail.splits if previous is None else previous.splits
    settings, settings_problem = ModelSettings() if previous is None else previous.settings, ""
    try:
        aliases, splits = repository.alias_table(name)
    except RepositoryError as error:
        problem = str(error)
    try:
        settings = repository.settings(name)
    except RepositoryError as error:
        settings_problem = f"{error}; the last settings that could be read hold"
    served = repository.served(name)
    return ModelOnDisk(versions, name, aliases, problem, settings, settings_problem, splits, trail, served)


def dangling_words(model: str, version: int, aliases: tuple[str, ...]) -> str:
    """aliases: those that point at it."""
    plural = "the aliases" if len(aliases) > 1 else "the alias"
    point = "point" if len(aliases) > 1 else "points"
    return (
        f"{plural} {', '.join(map(repr, aliases))} of {model} {point} at version {version}, which does not exist; promote "
        f"another version, or remove the alias with: cellserve remove {model}@{aliases[0]}"
    )
