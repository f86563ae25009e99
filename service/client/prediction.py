"""Replies made into what the caller gets back. Pure; knows no channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from cellserve.service.client.errors import BadReply
from cellserve.service.client.requests import Question
from cellserve.service.client.rows import Form
from cellserve.service.client.tensors import Array, from_wire
from cellserve.service.pb import cellserve_pb2 as pb


@dataclass(frozen=True, slots=True)
class Prediction:
    """The whole answer to one call.

    answer: the model's first output in the form of the input: an array, a list, or a batch.
    outputs: every output by name, one array per row: [T, units] where the model returns sequences, else [units].
    state: final recurrent states by name ("0.h", "0.c", "1.h" …), [rows, units]; empty unless return_state was asked for.
        Passing it as initial_state continues the sequences.
    implementation: what ran; several, joined by commas, if a split batch met several.
    queue_seconds: longest wait of a row before its first iteration. compute_seconds: sum of the rows' shares of the
        iterations they took part in. iterations: most that one row took part in.
    """

    answer: Array | list[Array]
    outputs: dict[str, list[Array]]
    state: dict[str, Array]
    model: str
    version: int
    implementation: str
    queue_seconds: float
    compute_seconds: float
    iterations: int


def prediction(question: Question, replies: Sequence[pb.RunReply]) -> Prediction:
    """Joins the replies to the parts of a question, in the order of its rows.

    Raises BadReply: a reply contradicts itself or does not answer every row.
    """
    try:
        return _joined(question, replies)
    except ValueError as error:
        raise BadReply(f"the server's reply cannot be read: {error}") from error


def _joined(question: Question, replies: Sequence[pb.RunReply]) -> Prediction:
    outputs: dict[str, list[Array]] = {}
    per_step: set[str] = set()
    for reply in replies:
        for output in reply.outputs:
            outputs.setdefault(output.name, []).extend(_rows(output, output.lengths or reply.lengths))
            if output.per_step:
                per_step.add(output.name)
    if not outputs:
        raise ValueError("it has no outputs")
    for name, rows in outputs.items():
        if len(rows) != len(question.rows):
            raise ValueError(f"output {name!r} has {len(rows)} rows for {len(question.rows)} sequences")
    first = next(iter(outputs))
    return Prediction(
        answer=_answer(question, outputs[first], first in per_step),
        outputs=outputs,
        state={name: np.concatenate([from_wire(reply.state[name]) for reply in replies]) for name in replies[0].state},
        model=replies[0].model,
        version=int(replies[0].version),
        implementation=",".join(sorted({reply.implementation for reply in replies})),
        queue_seconds=max(reply.queue_seconds for reply in replies),
        compute_seconds=sum(reply.compute_seconds for reply in replies),
        iterations=max(reply.iterations for reply in replies),
    )


def _rows(output: pb.Output, lengths: Sequence[int]) -> list[Array]:
    values = from_wire(output.tensor)
    if not output.per_step:
        return list(values)
    ends = np.cumsum([0, *(output.lengths or lengths)])
    if not values.ndim or ends[-1] != len(values):
        raise ValueError(f"output {output.name!r} has shape {list(values.shape)} for {ends[-1]} time steps")
    return [values[start:end] for start, end in pairwise(ends)]


def _answer(question: Question, rows: list[Array], per_step: bool) -> Array | list[Array]:
    asked = question.rows
    if asked.form is Form.ONE:
        return rows[0]
    if asked.form is Form.LIST:
        return rows
    if not per_step:
        return np.stack(rows)
    lengths = [len(row) for row in rows]
    return padded(rows, asked.steps if lengths == asked.lengths else max(lengths))


def padded(rows: Sequence[Array], steps: int) -> Array:
    """[B, steps, …] from rows of [T, …], zeros beyond each row's own length."""
    batch = np.zeros((len(rows), steps, *rows[0].shape[1:]), dtype=rows[0].dtype)
    for place, row in zip(batch, rows, strict=True):
        place[: len(row)] = row
    return batch
