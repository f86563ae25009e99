"""The home of a repository, from what the settings or another process say of it. Asks no store yet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cellserve.service.config import Settings
from cellserve.service.registry.repository.folder import Folder
from cellserve.service.registry.repository.home import Home
from cellserve.service.registry.repository.remote.bucket import Bucket
from cellserve.service.registry.repository.remote.read_only import ReadOnlyStore
from cellserve.service.registry.repository.remote.store import Store
from cellserve.service.repository_place import is_store


def home_at(address: Mapping[str, Any]) -> Home:
    """address: as of Home. Raises RepositoryError: a package is missing, or a variable of the store is wrong."""
    folder = Path(address["folder"])
    if "url" not in address:
        return Folder(folder)
    url = address["url"]
    return Bucket(
        Store.at(url) if is_store(url) else ReadOnlyStore.at(url), folder, address["cache_bytes"], address["poll_seconds"]
    )


def home_of(settings: Settings) -> Home:
    """Raises as `home_at`."""
    if settings.repository_url is None:
        return Folder(settings.repository_folder)
    return home_at(
        {
            "url": settings.repository_url,
            "folder": str(settings.repository_folder),
            "cache_bytes": settings.repository_cache_bytes,
            "poll_seconds": settings.repository_poll_seconds,
        }
    )
