"""Sequences of one version as bytes: what durability writes and reads. safetensors, never pickle. Pure.

A segment is a part of the truth: it holds sequences as they were when it was made, and ids of those that had ended by then.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from cellserve.models.description.state_layout import StateLayout

_TENSORS = {"states": "f4", "positions": "i8", "created": "f8", "used": "f8", "confirmed": "b1", "names": "u1"}


class DamagedSegment(ValueError):
    """Bytes that no `encode` made."""


class SegmentVersion(BaseModel):
    """Whose sequences they are. columns: name and width of each part of a state, as StateLayout has them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    version: int = Field(ge=1)
    weights_digest: str
    columns: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One sequence. Times are seconds since 1970. epochs: that its client may have heard, oldest first."""

    session_id: str
    position: int
    created_seconds: float
    used_seconds: float
    confirmed: bool
    epochs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Segment:
    """states: [len(records), width]. ended: ids of the model, whatever their version was."""

    of: SegmentVersion
    records: list[SessionRecord]
    states: npt.NDArray[np.float32]
    ended: list[str] = field(default_factory=list)


def columns_of(layout: StateLayout) -> tuple[tuple[str, int], ...]:
    return tuple((columns.key, columns.width) for columns in layout.columns)


def encode(segment: Segment) -> bytes:
    names = {
        "of": segment.of.model_dump(mode="json"),
        "ids": [record.session_id for record in segment.records],
        "epochs": [record.epochs for record in segment.records],
        "ended": segment.ended,
    }
    records = segment.records
    return save(
        {
            "states": np.ascontiguousarray(segment.states, np.float32),
            "positions": np.array([record.position for record in records], np.int64),
            "created": np.array([record.created_seconds for record in records], np.float64),
            "used": np.array([record.used_seconds for record in records], np.float64),
            "confirmed": np.array([record.confirmed for record in records], np.bool_),
            "names": np.frombuffer(json.dumps(names).encode(), np.uint8),
        }
    )


def decode(content: bytes) -> Segment:
    """Raises DamagedSegment."""
    try:
        tensors = load(content)
        if {name: array.dtype.str[1:] for name, array in tensors.items()} != _TENSORS:
            raise DamagedSegment("these are not the tensors of a segment")
        names = _Names.model_validate_json(tensors["names"].tobytes())
    except (SafetensorError, ValidationError, KeyError, RecursionError) as error:
        raise DamagedSegment(str(error).partition("\n")[0]) from error
    states, rows = tensors["states"], len(names.ids)
    width = sum(width for _, width in names.of.columns)
    lengths = {len(names.epochs), *(tensors[name].shape[0] for name in ("positions", "created", "used", "confirmed"))}
    if lengths != {rows} or states.shape != (rows, width):
        raise DamagedSegment(f"the tensors do not fit {rows} sequences")
    columns = zip(
        names.ids,
        tensors["positions"].tolist(),
        tensors["created"].tolist(),
        tensors["used"].tolist(),
        tensors["confirmed"].tolist(),
        names.epochs,
    )
    return Segment(names.of, [SessionRecord(*record) for record in columns], states, names.ended)


class _Names(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    of: SegmentVersion
    ids: list[str]
    epochs: list[tuple[str, ...]]
    ended: list[str]
