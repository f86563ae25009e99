"""Who published a version over the wire, and by which publication: a file beside its manifest, staged and renamed with it.

A record that no server needs to serve the version, and that older ones do not look for. Without it a version was imported here.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from cellserve.service.registry.repository import layout

PUBLICATION_FILE: Final = "publication.json"

log = logging.getLogger(__name__)


class Publication(BaseModel):
    """publication_id: the publisher's own name for it. by: who that was."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    publication_id: str
    by: str = ""
    when: AwareDatetime


def read(version_folder: Path) -> Publication | None:
    """None where there is none, or none that can be read."""
    path = version_folder / PUBLICATION_FILE
    try:
        return Publication.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        log.warning("%s cannot be read: %s", path, str(error).partition("\n")[0])
        return None


def find(model_folder: Path, publication_id: str) -> int | None:
    """The newest version that the publication has become."""
    for version in reversed(layout.version_numbers(model_folder)):
        record = read(model_folder / str(version))
        if record is not None and record.publication_id == publication_id:
            return version
    return None
