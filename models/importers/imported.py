"""What every importer hands over, and from where it came. Knows no framework."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from cellserve.models.description.step_model import StepModel
from cellserve.models.measuring.framework_answers import FrameworkAnswers
from cellserve.models.spec import ModelSpec
from cellserve.models.steps.graph_file import GraphFile
from cellserve.models.weights import Weights


@dataclass(frozen=True, slots=True)
class Source:
    """framework: "keras", "tf.keras", "tensorflow", "torch", "paddle" or "arrays"; version: as the file says, or "".

    digest: "sha256:…" of its bytes.
    """

    framework: str
    version: str
    file: str
    digest: str


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """A network in canonical form. `notes`: what was assumed or ignored, one sentence each.

    `answers`: what the framework itself answered, where the importer could ask it.
    """

    spec: ModelSpec
    weights: Weights
    source: Source
    notes: tuple[str, ...] = ()
    answers: tuple[FrameworkAnswers, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportedStepModel:
    """A graph that is called as it is; `weights` is its bytes. `notes`: as of an ImportedModel. `answers`: none."""

    spec: StepModel
    weights: GraphFile
    source: Source
    notes: tuple[str, ...] = ()
    answers: tuple[FrameworkAnswers, ...] = ()


Imported = ImportedModel | ImportedStepModel


def file_digest(*paths: Path) -> str:
    """Of the bytes of all files, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return f"sha256:{digest.hexdigest()}"
