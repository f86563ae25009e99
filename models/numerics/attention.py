"""Attention: what each step of one sequence makes of all steps of another, row by row at its own length. Knows no graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor

from cellserve.models.description.layers.attention import AttentionLayer
from cellserve.models.description.layers.layer import Layer
from cellserve.models.numerics.value import Value

Arrays = Mapping[str, Tensor]
Score = Callable[[Tensor, Tensor], Tensor]
"""(queries [B, Q, F], keys [B, K, F]) -> [B, Q, K]."""

MOST_NUMBERS: Final = 1 << 22  # that are held at once


def _attention(layer: AttentionLayer, weights: Arrays) -> Callable[..., Value]:
    scores: Mapping[str, Score] = {
        "dot": partial(_dot, scale=weights.get("scale")),
        "additive": partial(_additive, scale=weights.get("scale")),
        "concat": partial(_concat, scale=weights.get("scale"), weight=weights.get("weight")),
    }
    return partial(_attended, score=scores[layer.score], wide=layer.score != "dot")


def _attended(query: Value, values: Value, keys: Value | None = None, *, score: Score, wide: bool) -> Value:
    inside = values.ends.inside.T.unsqueeze(1)  # [B, 1, K]
    held, looked = (values.ends.clean(one.tensor).transpose(0, 1) for one in (values, keys or values))
    queries = query.tensor.transpose(0, 1)  # [B, Q, F]
    at_once = max(1, MOST_NUMBERS // max(1, looked.shape[0] * looked.shape[1] * (looked.shape[2] if wide else 1)))
    made = []
    for some in torch.split(queries, at_once, dim=1):
        fits = torch.where(inside, score(some, looked), -torch.inf).softmax(dim=-1)
        made.append(fits @ held)
    return Value(torch.cat(made, dim=1).transpose(0, 1), query.lengths)


def _dot(queries: Tensor, keys: Tensor, *, scale: Tensor | None) -> Tensor:
    scores = queries @ keys.transpose(1, 2)
    return scores if scale is None else scores * scale


def _additive(queries: Tensor, keys: Tensor, *, scale: Tensor | None) -> Tensor:
    bent = torch.tanh(queries.unsqueeze(2) + keys.unsqueeze(1))
    return (bent if scale is None else bent * scale).sum(dim=-1)


def _concat(queries: Tensor, keys: Tensor, *, scale: Tensor | None, weight: Tensor | None) -> Tensor:
    total = queries.unsqueeze(2) + keys.unsqueeze(1)
    scores = torch.tanh(total if scale is None else total * scale).sum(dim=-1)
    return scores if weight is None else scores * weight


PREPARE: Final[Mapping[type[Layer], Callable[[Any, Arrays], Callable[..., Value]]]] = {AttentionLayer: _attention}
