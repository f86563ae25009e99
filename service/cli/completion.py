"""What the shell offers after a tab: names of published models, their versions and aliases. Reads the repository, no weights."""

from __future__ import annotations

from cellserve.service.cli.options import open_repository
from cellserve.service.errors import ServiceError
from cellserve.service.registry.repository.repository import Repository


def model_names(incomplete: str) -> list[str]:
    """Models whose name begins with `incomplete`. Nothing where there is no repository: a shell wants no error here."""
    try:
        return [name for name in open_repository(None).models() if name.startswith(incomplete)]
    except (ServiceError, OSError, ValueError):
        return []


def references(incomplete: str) -> list[str]:
    """Models; after `name/` its versions, after `name@` its aliases."""
    for separator, listed in (("/", _versions), ("@", _aliases)):
        name, found, _ = incomplete.partition(separator)
        if found:
            try:
                known = [f"{name}{separator}{each}" for each in listed(open_repository(None), name)]
            except (ServiceError, OSError, ValueError):
                return []
            return [each for each in known if each.startswith(incomplete)]
    return model_names(incomplete)


def _versions(store: Repository, model: str) -> list[str]:
    return [str(version) for version in store.versions(model)]


def _aliases(store: Repository, model: str) -> list[str]:
    return list(store.aliases(model))
