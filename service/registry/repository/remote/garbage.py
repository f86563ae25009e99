"""Content in an object store that no ledger names: what was removed, and what publishers who were killed have left."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from cellserve.service.errors import RepositoryAway
from cellserve.service.registry.repository.remote.ledger import CONTENT, Ledger
from cellserve.service.registry.repository.remote.objects import Objects

log = logging.getLogger(__name__)

_OLD: Final = timedelta(days=1)  # older than any publication that may still be under way


def delete(objects: Objects, paths: Sequence[str]) -> None:
    """What cannot be deleted stays, and is swept when it is old."""
    try:
        objects.delete(paths)
    except RepositoryAway as error:
        log.warning("%s is left, though nobody needs it: %s", ", ".join(paths), error)


def sweep(objects: Objects, ledger: Ledger, now: datetime | None = None) -> None:
    """Of one model, what nobody names and nobody can be about to."""
    latest = (now or datetime.now(UTC)) - _OLD
    try:
        found = objects.list(f"{CONTENT}/{ledger.model}")
    except RepositoryAway as error:
        log.warning("what killed publishers may have left cannot be looked for: %s", error)
        return
    if left := sorted(path for path in found.keys() - ledger.content if found[path].modified < latest):
        delete(objects, left)
        log.info("%d objects were left by publishers that were killed; they are removed", len(left))
