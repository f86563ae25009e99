"""What the repository held when it was last read: the catalog decides from this, never from the disk.

Knows no engine and nothing of what is loaded.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import RepositoryError, UnknownModel, UnknownVersion, VersionUnavailable
from cellserve.service.registry.layout import Fingerprint
from cellserve.service.registry.manifest import STABLE, parse_version
from cellserve.service.registry.model_settings import ModelSettings
from cellserve.service.registry.repository import Repository

log = logging.getLogger(__name__)

Pointer = tuple[str, str]  # (model, alias); alias "" is what a request without a version means


@dataclass(frozen=True, slots=True)
class ModelOnDisk:
    """One model. `problem`: why its aliases could not be read; they are then the last ones that could. So are the settings."""

    versions: Mapping[int, Fingerprint]
    aliases: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""
    settings: ModelSettings = field(default_factory=ModelSettings)

    @property
    def newest(self) -> int:
        return max(self.versions)

    @property
    def default(self) -> int:
        """What an empty version means."""
        return self.aliases.get(STABLE, self.newest)


@dataclass(frozen=True, slots=True)
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
        return tuple(sorted(alias for alias, version in model.aliases.items() if version == key.version)) if model else ()

    def targets(self) -> dict[Pointer, VersionKey]:
        """Where each alias points, and the empty one."""
        return {
            (name, alias): VersionKey(name, version)
            for name, model in self.models.items()
            for alias, version in (*model.aliases.items(), ("", model.default))
        }

    def wanted(self) -> frozenset[VersionKey]:
        """Every aliased version and the newest of each model."""
        newest = {VersionKey(name, model.newest) for name, model in self.models.items()}
        return frozenset(key for key in newest | set(self.targets().values()) if self.holds(key))

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


def read_model(repository: Repository, name: str, previous: ModelOnDisk | None) -> ModelOnDisk:
    """Raises UnknownModel."""
    versions = {version: repository.fingerprint(VersionKey(name, version)) for version in repository.versions(name)}
    settings = _settings(repository, name, previous)
    try:
        return ModelOnDisk(versions, repository.aliases(name), settings=settings)
    except RepositoryError as error:
        if previous is None or not previous.problem:
            log.warning("%s", error)
        return ModelOnDisk(versions, previous.aliases if previous else {}, problem=str(error), settings=settings)


def _settings(repository: Repository, name: str, previous: ModelOnDisk | None) -> ModelSettings:
    try:
        return repository.settings(name)
    except RepositoryError as error:
        log.warning("%s; the last settings that could be read hold", error)
        return previous.settings if previous else ModelSettings()


def _listed(versions: Mapping[int, Fingerprint]) -> str:
    return ", ".join(map(str, sorted(versions)))
