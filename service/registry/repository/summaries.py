"""What a listing tells of each version, kept beside the models, so that it need not read every manifest again.

An entry holds as long as the version's files are those that it was made of. Only a help: made anew where it is missing or
damaged, and done without where it cannot be written.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final, NamedTuple

from pydantic import TypeAdapter, ValidationError

from cellserve.service import disk
from cellserve.service.engine.facts import VersionKey
from cellserve.service.registry.repository.layout import Fingerprint
from cellserve.service.registry.repository.repository import Repository

log = logging.getLogger(__name__)

SUMMARIES_FILE: Final = ".summaries.json"


class Summary(NamedTuple):
    """fingerprint: of the files. framework: with its version. parameters: how many numbers. created: ISO 8601."""

    fingerprint: Fingerprint
    framework: str
    parameters: int
    created: str


_SUMMARIES = TypeAdapter(dict[str, Summary])


class Summaries:
    """Of one repository, as they were kept last."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._path = repository.root / SUMMARIES_FILE
        self._known = self._read()
        self._news = False

    def of(self, key: VersionKey, fingerprint: Fingerprint) -> Summary:
        """fingerprint: as the files are. Raises what reading a manifest does."""
        known = self._known.get(str(key))
        if known is not None and known.fingerprint == fingerprint:
            return known
        summary = self._made(key, fingerprint)
        self._known[str(key)] = summary
        self._news = True
        return summary

    def keep(self, keys: Iterable[VersionKey]) -> None:
        """For the next listing: those of these versions, which are all that there are."""
        there = {str(key) for key in keys}
        kept = {key: summary for key, summary in self._known.items() if key in there}
        if not self._news and len(kept) == len(self._known):
            return
        try:
            disk.replace_file(self._path, _SUMMARIES.dump_json(kept))
        except OSError as error:
            log.debug("%s cannot be written: %s", self._path, error.strerror)

    def _made(self, key: VersionKey, fingerprint: Fingerprint) -> Summary:
        from cellserve.models.description.described import parameters_of

        manifest = self._repository.manifest(*key)
        return Summary(
            fingerprint,
            f"{manifest.source.framework} {manifest.source.version}".rstrip(),
            parameters_of(manifest.spec).total(),
            manifest.created.isoformat(timespec="seconds"),
        )

    def _read(self) -> dict[str, Summary]:
        try:
            return _SUMMARIES.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError) as error:
            log.debug("%s cannot be read: %s", self._path, str(error).partition("\n")[0])
            return {}
