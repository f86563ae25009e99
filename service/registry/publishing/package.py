"""From the files of a publication to a network with its numbers: as an importer left them, or a version published elsewhere.

Heavy: in a process of its own. Knows no uploads.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from cellserve.models.description.step_model import StepModel
from cellserve.models.errors import ModelError
from cellserve.service.errors import InvalidInput, VersionRefused
from cellserve.service.registry.manifest import Manifest
from cellserve.service.registry.repository import layout

if TYPE_CHECKING:
    from cellserve.models.importers import Imported
    from cellserve.models.measuring.framework_answers import FrameworkAnswers
    from cellserve.models.spec import ModelSpec


def read(folder: Path) -> Imported:
    """Raises VersionRefused: the files are not what they are named, or do not fit each other; OSError."""
    from cellserve.models.spec import ModelSpec
    from cellserve.models.weights import Weights

    try:
        imported = _from_manifest(folder) if (folder / layout.MANIFEST_FILE).is_file() else _from_import(folder)
        if isinstance(imported.spec, ModelSpec) and isinstance(imported.weights, Weights):
            imported.weights.check(imported.spec)
        return imported
    except (ModelError, InvalidInput) as error:
        raise VersionRefused(str(error).replace(f"{folder}/", "")) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise VersionRefused(f"the description is damaged: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise VersionRefused(f"the files of this publication cannot be understood: {error}") from error


def tags(folder: Path) -> dict[str, str]:
    """Of a version published elsewhere; none of an import."""
    path = folder / layout.MANIFEST_FILE
    return dict(json.loads(path.read_bytes()).get("tags", {})) if path.is_file() else {}


def _from_import(folder: Path) -> Imported:
    from cellserve.models.importers.isolated import read_answer

    return read_answer(folder)


def _from_manifest(folder: Path) -> Imported:
    """The golden pair comes along where the framework gave it: it is asked for again here."""
    from cellserve.models.importers.imported import ImportedModel, ImportedStepModel, Source
    from cellserve.models.steps.graph_file import GraphFile
    from cellserve.models.weights import Weights

    manifest = Manifest.model_validate_json((folder / layout.MANIFEST_FILE).read_bytes())
    source = Source(**manifest.source.model_dump())
    numbers = GraphFile.load(folder / layout.GRAPH_FILE) if isinstance(manifest.spec, StepModel) else None
    weights = Weights.load(folder / layout.WEIGHTS_FILE) if numbers is None else numbers
    if weights.digest != manifest.weights_digest:
        raise VersionRefused(
            f"the manifest is of the weights {manifest.weights_digest}, and those of {weights.digest} came with it"
        )
    if isinstance(manifest.spec, StepModel) or isinstance(weights, GraphFile):
        if not isinstance(weights, GraphFile) or not isinstance(manifest.spec, StepModel):
            raise VersionRefused("the manifest is of another kind of model than the numbers that came with it")
        return ImportedStepModel(manifest.spec, weights, source, manifest.notes)
    return ImportedModel(manifest.spec, weights, source, manifest.notes, _answers(manifest, manifest.spec))


def _answers(manifest: Manifest, spec: ModelSpec) -> tuple[FrameworkAnswers, ...]:
    from cellserve.models.measuring.framework_answers import FrameworkAnswers
    from cellserve.models.measuring.golden_pair import GoldenPair

    by = ", ".join(manifest.parity.framework)
    if not by:
        return ()
    golden = GoldenPair.from_json(manifest.golden)
    return (FrameworkAnswers(by, golden.inputs, golden.outputs, golden.first_lengths, time_major=False),)
