"""What a server writes beside a model: which versions each alias was answered by, so that the next start has one to fall back on.

A record, never the truth: without it, or where it is damaged, nothing falls back. Knows no engine.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, PositiveInt, TypeAdapter, ValidationError

from cellserve.service import disk

SERVED_FILE: Final = ".served.json"
_MOST_VERSIONS: Final = 8  # of an alias: those that served last

log = logging.getLogger(__name__)


class Answered(BaseModel):
    """By which versions an alias was answered, the last one first. failing: the one that it names, where that cannot serve."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    versions: tuple[PositiveInt, ...] = ()
    failing: PositiveInt | None = None
    reason: str = ""

    def serving(self, version: int) -> Answered:
        """It is answered by the version that it names."""
        return Answered(versions=(version, *(each for each in self.versions if each != version))[:_MOST_VERSIONS])

    def fallen_back(self, failing: int, reason: str) -> Answered:
        return self.model_copy(update={"failing": failing, "reason": reason})


Served = Mapping[str, Answered]  # by alias; "" is what a request without a version means

_SERVED = TypeAdapter(dict[str, Answered])


def read(folder: Path) -> Served:
    """Of a model's folder; empty where there is none, or none that can be read."""
    path = folder / SERVED_FILE
    try:
        return _SERVED.validate_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValidationError) as error:
        log.warning("%s cannot be read (%s); no version is known to have served", path, str(error).partition("\n")[0])
        return {}


def write(folder: Path, served: Served) -> None:
    """Raises OSError."""
    disk.replace_file(folder / SERVED_FILE, _SERVED.dump_json(dict(sorted(served.items())), indent=1))
