"""The layer of a description that looks at a whole sequence from each step of another: attention. Knows no weights."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Final, Literal

from cellserve.models.description.layers.layer import Layer, MaskFlow, Shapes
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.errors import InvalidSpec


class AttentionLayer(Layer):
    """At each step of the first input (query), a mean of all steps of the second (values), by how well the third (keys) fit.

    Without keys the values are the keys. score: dot, q · k times `scale`; additive, the sum of `scale` tanh(q + k), with a scale
    for each feature; concat, `weight` times the sum of tanh(scale (q + k)). The mean is weighed by their softmax over the steps.
    Masks end there.
    """

    kind: Literal["attention"] = "attention"
    score: Literal["dot", "additive", "concat"] = "dot"
    use_scale: bool = False

    whole_inputs: ClassVar[slice] = slice(1, None)

    def output_shape(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        if len(inputs) not in (2, 3):
            raise InvalidSpec(f"layer {self.name!r} (attention) takes a query, values and perhaps keys, not {len(inputs)} inputs")
        query, values, keys = (*inputs, inputs[1])[:3]
        for shape in inputs:
            if not shape.sequence or shape.ids or len(shape.features) != 1:
                raise InvalidSpec(
                    f"layer {self.name!r} (attention) takes sequences [batch, time, features], but an input is {shape}"
                )
        if query.features != keys.features:
            raise InvalidSpec(f"layer {self.name!r} (attention) cannot hold {query} against {keys}, which has other features")
        if values.step_count != keys.step_count:
            raise InvalidSpec(f"layer {self.name!r} (attention): its values {values} and its keys {keys} are of other steps")
        return replace(query, features=values.features)

    def arrays(self, width: tuple[int, ...]) -> Shapes:
        weight = {"weight": (1,)} if self.score == "concat" else {}
        return ({"scale": width if self.score == "additive" else (1,)} if self.use_scale else {}) | weight

    @property
    def mask_flow(self) -> MaskFlow:
        return "ends"

    def why_not_causal(self, *, over_time: bool) -> str | None:
        return "looks at all time steps from each"


KINDS: Final = (AttentionLayer,)
