"""What every importer hands over, and from where it came. Knows no framework."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from cellserve.models.spec import ModelSpec
from cellserve.models.weights import Weights


@dataclass(frozen=True, slots=True)
class Source:
    """framework: "keras", "tf.keras" or "torch"; version: as the file says, or ""; digest: "sha256:…" of its bytes."""

    framework: str
    version: str
    file: str
    digest: str


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """A network in canonical form. `notes`: what was assumed or ignored, one sentence each."""

    spec: ModelSpec
    weights: Weights
    source: Source
    notes: tuple[str, ...] = ()


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
