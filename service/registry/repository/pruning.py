"""Which versions of a model may go, and why the others stay, decided from the model as it lies on disk; and their removal."""

from __future__ import annotations

import logging

from cellserve.service.errors import ServiceError
from cellserve.service.registry.manifest import ModelRef
from cellserve.service.registry.repository.model_on_disk import ModelOnDisk, read_model
from cellserve.service.registry.repository.repository import Repository

log = logging.getLogger(__name__)


def apply_retention(repository: Repository, name: str) -> list[int]:
    """Removes what the model's owner does not keep. What cannot be removed is told in the log and stays. Raises UnknownModel."""
    model = read_model(repository, name)
    retention = model.settings.retention
    return [] if retention is None else [v for v in prunable(model, retention.keep) if _removed(repository, name, v)]


def retention_words(name: str, version: int) -> str:
    return f"{name}/{version} is removed, as retention in its model.yaml asks"


def prunable(model: ModelOnDisk, keep: int) -> list[int]:
    """Oldest first: all but the `keep` newest and those that somebody may still ask for. None where that cannot be told."""
    return [] if unclear(model) else sorted(set(model.versions) - stays(model, keep).keys())


def unclear(model: ModelOnDisk) -> str:
    """Why it cannot be told which versions are still asked for; empty where it can."""
    return model.problem or model.settings_problem


def stays(model: ModelOnDisk, keep: int) -> dict[int, str]:
    """Version → why it stays, in a few words. keep: how many of the newest; at least the newest one stays."""
    why: dict[int, str] = {}
    for version in sorted(model.versions, reverse=True)[: max(keep, 1)]:
        why[version] = f"one of the {max(keep, 1)} newest"
    for alias in (*model.aliases, ""):
        for version in way_back(model, alias):
            why[version] = f"the way back of {alias or 'requests without a version'}"
    for version in model.settings.named_versions:
        why[version] = "pinned in model.yaml" if version in model.settings.pinned else "the shadow in model.yaml"
    for version in model.versions:
        if aliases := model.aliases_of(version):
            why[version] = f"alias {', '.join(aliases)}"
    return {version: words for version, words in why.items() if version in model.versions}


def way_back(model: ModelOnDisk, alias: str) -> set[int]:
    """The version that an alias left last, and the one that a server would answer it by if its own failed."""
    left = model.trail.last(alias)
    means = model.aliases.get(alias, model.default if not alias else None)
    back = set() if left is None or left.before is None else {left.before}
    served = model.served[alias].versions if alias in model.served else ()
    return back | set([version for version in served if version != means][:1])


def _removed(repository: Repository, name: str, version: int) -> bool:
    try:
        repository.remove(ModelRef(name, version=version))
    except ServiceError as error:
        log.warning("%s/%d stays: %s", name, version, error)
        return False
    return True
