"""One call of the client made into requests: which model, which rows together, which bytes. Pure; knows no channel.

A long batch is cut into parts, so that neither a request nor its reply grows past what servers accept. Only the first part
asks for the version as the caller wrote it; the others ask for the number that answered the first, so that one call is
answered by one version even while an alias moves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cellserve.service.client.rows import Rows
from cellserve.service.client.tensors import Array, WireDtype, concatenated, to_wire
from cellserve.service.errors import InvalidInput
from cellserve.service.pb import cellserve_pb2 as pb


@dataclass(frozen=True, slots=True)
class PartLimits:
    """Most of one request. A single row that is longer travels alone."""

    rows: int = 256
    steps: int = 16_384
    input_bytes: int = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reference:
    """`name`, `name/3` or `name@canary`, as the wire wants it: a name, and a number, an alias or nothing."""

    model: str
    version: str

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Raises InvalidInput: empty parts, or a version after the slash that is not a number."""
        model, at, alias = text.partition("@")
        if at:
            version, valid = alias, bool(alias)
        else:
            model, slash, version = text.partition("/")
            valid = not slash or (version.isascii() and version.isdigit())
        if not model or "/" in model or not valid:
            raise InvalidInput(f"{text!r} names no model; name, name/3 or name@alias was expected", field="model")
        return cls(model, version)


@dataclass(frozen=True, slots=True)
class Question:
    """Everything one call asks."""

    reference: Reference
    rows: Rows
    implementation: str = ""
    precision: str = ""
    return_state: bool = False
    priority: int = 0
    wire_dtype: WireDtype = "float32"

    def parts(self, limits: PartLimits) -> list[range]:
        return list(split(self.rows.timesteps, self.rows.input_bytes, limits))

    def request(self, part: range, version: str | None = None) -> pb.RunRequest:
        """The rows of one part; `version` pins a number in place of what the caller wrote.

        Raises InvalidInput: a value does not fit the wire's dtype.
        """
        rows = self.rows
        chosen = slice(part.start, part.stop)
        request = pb.RunRequest(
            model=self.reference.model,
            version=self.reference.version if version is None else version,
            implementation=self.implementation,
            precision=self.precision,
            return_state=self.return_state,
            lengths=[len(row) for row in rows.inputs[chosen]],
            inputs=concatenated(rows.inputs[chosen], self.wire_dtype),
            more_inputs=[_laid_out(each[chosen], self.wire_dtype) for each in rows.more_inputs],
            state={name: to_wire(array[chosen]) for name, array in rows.state.items()},
            priority=self.priority,
        )
        if len(part) > 1 and any(isinstance(each, list) for each in rows.more_inputs):
            request.more_lengths.extend(_lengths(each[chosen]) for each in rows.more_inputs)
        if rows.masks is not None:
            request.mask.CopyFrom(concatenated(rows.masks[chosen]))
        return request


def _laid_out(rows: Array | list[Array], wire_dtype: WireDtype) -> pb.Tensor:
    return concatenated(rows if isinstance(rows, list) else [rows], wire_dtype)


def _lengths(rows: Array | list[Array]) -> pb.Lengths:
    """Nothing of vectors."""
    return pb.Lengths(steps=[len(row) for row in rows] if isinstance(rows, list) else [])


def split(lengths: Sequence[int], row_bytes: Sequence[int], limits: PartLimits) -> Iterator[range]:
    """Consecutive rows in as few parts as the limits allow, in order."""
    start = steps = size = 0
    for row, (row_steps, row_size) in enumerate(zip(lengths, row_bytes, strict=True)):
        full = row - start >= limits.rows or steps + row_steps > limits.steps or size + row_size > limits.input_bytes
        if full and row > start:
            yield range(start, row)
            start, steps, size = row, 0, 0
        steps += row_steps
        size += row_size
    yield range(start, len(lengths))
