"""The answer to a feed as bytes, so that another replica can give it again. Pure.

Which arrays there are stands in front as JSON, the same text for every feed of one shape; how long it took is not kept.
"""

from __future__ import annotations

import json
import struct
from functools import lru_cache
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from cellserve.service.engine.batch import Delivery
from cellserve.service.sessions.stores.record import DamagedRecord

_LENGTH: Final = struct.Struct("<I")
_KINDS: Final = "fiub"  # of dtypes that an answer may have


class _Array(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: str = Field(max_length=8)
    shape: tuple[NonNegativeInt, ...]


class _Facts(BaseModel):
    """state: the last array is the state, which the feed wanted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    implementation: str
    steps: NonNegativeInt
    arrays: tuple[_Array, ...]
    state: bool


def encode(delivery: Delivery | None) -> bytes:
    """None: the feed had no time steps."""
    if delivery is None:
        return b""
    arrays = delivery.outputs if delivery.state is None else (*delivery.outputs, delivery.state)
    shapes = tuple((array.dtype.str, array.shape) for array in arrays)
    facts = _facts(delivery.implementation, delivery.steps, shapes, delivery.state is not None)
    return b"".join((_LENGTH.pack(len(facts)), facts, *(array.tobytes() for array in arrays)))


def decode(content: bytes) -> Delivery | None:
    """Raises DamagedRecord."""
    if not content:
        return None
    try:
        (length,) = _LENGTH.unpack_from(content)
        at = _LENGTH.size + length
        facts = _Facts.model_validate_json(content[_LENGTH.size : at])
        arrays = []
        for each in facts.arrays:
            dtype = np.dtype(each.dtype)
            if dtype.kind not in _KINDS:
                raise DamagedRecord(f"an answer of {each.dtype}")
            number = int(np.prod(each.shape, dtype=np.int64))
            arrays.append(np.frombuffer(content, dtype, number, at).reshape(each.shape))
            at += arrays[-1].nbytes
    except (struct.error, ValidationError, ValueError, TypeError, OverflowError) as error:
        raise DamagedRecord(f"its answer is damaged: {str(error).partition(chr(10))[0]}") from error
    state = arrays.pop() if facts.state and arrays else None
    if at != len(content) or facts.state != (state is not None):
        raise DamagedRecord("its answer is damaged")
    return Delivery(0, tuple(arrays), state, None, facts.implementation, facts.steps, 0, 0.0, 0.0)


@lru_cache(maxsize=256)
def _facts(implementation: str, steps: int, shapes: tuple[tuple[str, tuple[int, ...]], ...], state: bool) -> bytes:
    arrays = [{"dtype": dtype, "shape": shape} for dtype, shape in shapes]
    return json.dumps({"implementation": implementation, "steps": steps, "arrays": arrays, "state": state}).encode()
