"""Keras's Attention and AdditiveAttention over the steps of sequences.

Sources: keras/src/layers/attention 3.x, tf-keras. Knows no files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cellserve.models.description.layers.attention import AttentionLayer
from cellserve.models.importers.keras.graph import Array, Builder, Graph, KerasLayer, Tensor

NAMES: Final = ("scale", "weight")


def _attention(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    graph.check(keras, "use_scale", "score_mode", "causal")
    config, additive = keras.config, keras.class_name == "AdditiveAttention"
    if config.get("causal"):
        graph.refuse(keras, "attention to earlier steps alone is not supported", "causal")
    if any(source.masks for source in inputs):
        graph.refuse(keras, "attention to masked sequences is not supported; send each row at its own length instead of masking")
    layer = AttentionLayer.model_validate(
        {
            "name": keras.spec_name,
            "inputs": [source.reference for source in inputs],
            "score": "additive" if additive else config.get("score_mode", "dot"),
            "use_scale": config.get("use_scale", additive),
        }
    )
    own = [name for name in NAMES if name in layer.arrays((1,))]

    def named(stored: Sequence[Array]) -> dict[str, Array]:
        return {name: array.reshape(-1) for name, array in zip(own, stored, strict=True)}

    graph.claim(layer, keras, len(own), part, convert=named)
    return graph.add(layer, sequence=True)


ATTENTION: Final[dict[str, Builder]] = dict.fromkeys(("Attention", "AdditiveAttention"), _attention)
