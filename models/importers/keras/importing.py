"""A Keras configuration and its stored arrays into a network, under the release that wrote them or every one that may have.

A model that does not say its release is translated under each that may have written it; where they agree, it does not matter,
and where they do not, a person must say. Knows no places in files (files/).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.description.layers.stepwise import MaskingLayer
from cellserve.models.errors import ImportRefused
from cellserve.models.importers.completeness import complete
from cellserve.models.importers.description import Description
from cellserve.models.importers.imported import ImportedModel, Source, file_digest
from cellserve.models.importers.keras.configuration.config import translate
from cellserve.models.importers.keras.configuration.era import Era
from cellserve.models.importers.keras.configuration.legacy import as_keras_1
from cellserve.models.importers.keras.configuration.release import is_keras_0, likely_releases
from cellserve.models.importers.keras.graph import Array, ArrayStore, Claim
from cellserve.models.importers.keras.layers.weights import collect
from cellserve.models.importers.keras.said import Said
from cellserve.models.importers.precision import declared
from cellserve.models.spec import ModelSpec

FIELDS: Final = frozenset({"custom_layers", "keras_version", "keras_backend", "lambdas", "projections"})


@dataclass(frozen=True, slots=True)
class _Reading:
    """The model under one release."""

    era: Era
    spec: ModelSpec
    arrays: Mapping[str, Array]
    notes: tuple[str, ...]


def import_keras(
    path: Path,
    model: Mapping[str, Any],
    store: ArrayStore,
    description: Description,
    *,
    keeper: Path | str,  # the file that holds the configuration, for error messages
    version: str | None,  # as the files say them
    backend: str | None,
    projections: Mapping[str, Array] | None = None,
    files: Sequence[Path] = (),  # that the digest is of, where `path` is none itself
) -> ImportedModel:
    """Raises ImportRefused naming the layer, the option, and what to do."""
    description.refuse_all_but(FIELDS, str(path), "a Keras model")
    given = {name: np.array(rows, np.float32) for name, rows in (description.projections or {}).items()}
    versions = _versions(model, version, description, str(path))
    form = _keras_1_form(model, str(keeper))
    readings = []
    for one in versions or ("",):
        era = Era.of(one, backend or description.keras_backend, str(path))
        said = Said(description.lambdas or {}, description.custom_layers or {})
        spec, claims, notes = translate(form, era, store, str(keeper), {**(projections or {}), **given}, said)
        arrays = collect(claims, store, str(path))
        claims = [claim for claim in claims if claim.count]
        store.require_all_used(claims)
        readings.append(_Reading(era, spec, arrays, (*notes, *_misplaced(store, claims, era))))
    chosen = _agreed(readings, str(path))
    assumed = () if version or description.keras_version else (_assumption(chosen.era, versions),)
    source = Source(chosen.era.framework, chosen.era.version, path.name, file_digest(*(files or (path,))))
    return complete(chosen.spec, chosen.arrays, source, (*assumed, *chosen.notes), path, declared(model))


def _keras_1_form(model: Mapping[str, Any], source: str) -> Mapping[str, Any]:
    if not is_keras_0(model):
        return model
    if model.get("name") != "Sequential":
        raise ImportRefused(
            source, f"the model is a {model.get('name')} of Keras 0.x; only Sequential models of it are supported"
        )
    try:
        return as_keras_1(model)
    except (KeyError, TypeError, AttributeError) as error:
        raise ImportRefused(source, f"the architecture is of no form known here ({type(error).__name__}: {error})") from error


def _versions(model: Mapping[str, Any], written: str | None, description: Description, source: str) -> tuple[str, ...]:
    said = description.keras_version
    if written is not None:
        if said is not None and said != written:
            raise ImportRefused(source, f"the file says that Keras {written} wrote it, not {said}", option="keras_version")
        return (written,)
    return likely_releases(model) if said is None else (said,)


def _agreed(readings: list[_Reading], source: str) -> _Reading:
    """The newest, if all compute the same. Where nothing in the model makes masks, what releases do to them is no difference."""
    newest = readings[-1]
    for other in readings[:-1]:
        difference = _difference(other, newest)
        if difference is not None:
            raise ImportRefused(
                source,
                f"the file does not say which Keras wrote it, and Keras {other.era.version} and {newest.era.version} answer "
                "differently; name the release with `keras_version` in a --description",
                layer=difference,
            )
    return newest


def _difference(one: _Reading, other: _Reading) -> str | None:
    """The first layer in which two readings differ."""
    masked = any(isinstance(layer, MaskingLayer) or getattr(layer, "mask_zero", False) for layer in one.spec.layers)
    for mine, its in zip(one.spec.layers, other.spec.layers, strict=True):
        if isinstance(mine, RecurrentLayer) and isinstance(its, RecurrentLayer) and not masked:
            its = its.model_copy(update={"mask_rule": mine.mask_rule})
        own = [name for name in one.arrays if name.rpartition(".")[0] == mine.name]
        if mine != its or any(
            name not in other.arrays or not np.array_equal(one.arrays[name], other.arrays[name]) for name in own
        ):
            return mine.name
    return None


def _misplaced(store: ArrayStore, claims: Sequence[Claim], era: Era) -> Iterator[str]:
    layers = store.misplaced_by_loading(claims)
    if layers:
        yield (
            f"{', '.join(layers)}: the arrays lie in another order than the configuration says, as they do where parts of a "
            "layer were frozen. They were read by their names, so the answers are those of the model that was saved; "
            f"{era.framework} {era.version} goes by the order, and would refuse this file or mix them up."
        )


def _assumption(era: Era, versions: tuple[str, ...]) -> str:
    why = "its options are of that release" if len(versions) == 1 else f"Keras {versions[0]} would answer the same"
    return f"The file does not say which Keras wrote it; it is taken for {era.version} ({why})."
