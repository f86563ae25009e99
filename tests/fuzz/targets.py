"""What a case must know of a model to be almost right about it. Knows no server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cellserve.models.description.causal_plan import causal_plan
from cellserve.models.description.layers.stepwise import EmbeddingLayer
from cellserve.models.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Target:
    """A served model. width: features of a step, None where it takes ids below `vocabulary`. states: widths by "0.h".

    weights_digest: of those that it serves.
    """

    model: str
    width: int | None
    vocabulary: int | None
    states: Mapping[str, int]
    causal: bool = True
    weights_digest: str = ""

    @classmethod
    def of(cls, model: str, spec: ModelSpec, weights_digest: str = "") -> Target:
        vocabularies = [layer.vocabulary for layer in spec.layers if isinstance(layer, EmbeddingLayer)]
        states = {
            f"{number}.{name}": width
            for number, layer in enumerate(spec.recurrent_layers)
            for name, width in layer.state_widths.items()
        }
        return cls(
            model,
            spec.inputs[0].width,
            vocabularies[0] if vocabularies else None,
            states,
            causal_plan(spec).causal,
            weights_digest,
        )
