"""What a caller feeds to a live sequence, made into a question about one row. Pure; knows no sequence and no channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypedDict

import numpy as np

from cellserve.service.client.requests import Question, Reference
from cellserve.service.client.rows import Form, Rows
from cellserve.service.client.tensors import Array, WireDtype
from cellserve.service.errors import InvalidInput


class FeedOptions(TypedDict, total=False):
    """What may be said beside the time steps.

    mask: [T] booleans; False marks a step that the recurrent layers skip.
    more_inputs: inputs_1, inputs_2 … of a model with several, each [width].
    implementation: as Client.show lists them; default: the server's choice.
    precision: "float32" or "bfloat16", of what recurrent layers multiply in this feed; default: the model's.
    timeout_seconds: for the whole feed, attempts, waits and replays included; default: the client's.
    priority: higher goes first among sequences that wait; default 0.
    """

    mask: Sequence[bool] | Array | None
    more_inputs: Sequence[Array]
    implementation: str
    precision: str
    timeout_seconds: float | None
    priority: int


class FeedQuestion(NamedTuple):
    """one_step: a single step was given without the axis of time, and the answer to it goes back without."""

    question: Question
    one_step: bool


def feed_question(model: str, x: Array, return_state: bool, wire_dtype: WireDtype, options: FeedOptions) -> FeedQuestion:
    """x: [T, F] of floats or ids [T]; one step: [F] of floats or one id. Raises InvalidInput, TypeError: an unknown option."""
    unknown = sorted(set(options) - FeedOptions.__optional_keys__)
    if unknown:
        raise TypeError(f"unknown option {unknown[0]!r}; known are {', '.join(sorted(FeedOptions.__optional_keys__))}")
    steps = np.asarray(x)
    one_step = steps.ndim == (0 if steps.dtype.kind in "iu" else 1)
    if one_step:
        steps = steps[np.newaxis]
    mask = options.get("mask")
    given = None if mask is None else np.atleast_1d(np.asarray(mask))
    rows = Rows.of(steps, mask=given, more_inputs=options.get("more_inputs", ()))
    if rows.form is not Form.ONE:
        raise InvalidInput(
            f"an array of shape {list(steps.shape)} is a batch; a live sequence is fed one row, [time, features] or ids [time]",
            field="inputs",
        )
    question = Question(
        Reference(model, ""),
        rows,
        implementation=options.get("implementation", ""),
        precision=options.get("precision", ""),
        return_state=return_state,
        priority=options.get("priority", 0),
        wire_dtype=wire_dtype,
    )
    return FeedQuestion(question, one_step)
