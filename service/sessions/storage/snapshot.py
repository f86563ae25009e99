"""One sequence's state as bytes that any cellserve with the same weights can take up: safetensors, never pickle.

The tensors are the states as the wire names them ("0.h", "0.c", each [units] float32); the metadata says of which weights and
after how many time steps they are. Pure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from cellserve.models.description.state_layout import StateLayout
from cellserve.service.errors import InvalidInput
from cellserve.service.registry.lease import LoadedVersion

_FORMAT: Final = "cellserve.sequence"
_MAX_HEADER_BYTES: Final = 1 << 20
_FIELD: Final = "snapshot"


class SnapshotFacts(BaseModel):
    """What stands beside the numbers. In a file every value is text."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal["cellserve.sequence"] = _FORMAT
    schema_version: Literal["1"] = "1"
    model: str
    version: int = Field(ge=1)
    weights_digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    position: int = Field(ge=0, lt=1 << 62)


@dataclass(frozen=True, slots=True)
class SequenceSnapshot:
    """states: by key ("0.h"), [units] float32."""

    facts: SnapshotFacts
    states: dict[str, npt.NDArray[np.float32]]

    def row(self, layout: StateLayout) -> npt.NDArray[np.float32]:
        """[layout.width]. Raises InvalidInput: states that are not those of the layout."""
        expected = {columns.key: (columns.width,) for columns in layout.public}
        given = {key: state.shape for key, state in self.states.items()}
        if given != expected:
            raise InvalidInput(f"the snapshot holds the states {given}, and this model has {expected}", field=_FIELD)
        row = np.zeros(layout.width, np.float32)
        for columns in layout.public:
            row[columns.start : columns.start + columns.width] = self.states[columns.key]
        return row


def encode(version: LoadedVersion, position: int, state: npt.NDArray[np.float32]) -> bytes:
    """state: [layout.width]."""
    facts = SnapshotFacts(
        model=version.key.model,
        version=version.key.version,
        weights_digest=version.manifest.weights_digest,
        position=position,
    )
    tensors = {
        columns.key: np.ascontiguousarray(state[columns.start : columns.start + columns.width])
        for columns in version.state_layout.public
    }
    return save(tensors, {name: str(value) for name, value in facts.model_dump().items()})


def decode(content: bytes, max_bytes: int) -> SequenceSnapshot:
    """Raises InvalidInput: not what `encode` makes, larger than `max_bytes`, or with values that are not finite."""
    if len(content) > max_bytes:
        raise InvalidInput(f"the snapshot has {len(content)} bytes; this server takes at most {max_bytes}", field=_FIELD)
    try:
        facts = SnapshotFacts.model_validate(_metadata(content))
        tensors: list[tuple[str, dict[str, Any]]] = deserialize(content)  # type: ignore[no-untyped-call]
    except (ValueError, ValidationError, SafetensorError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidInput(f"these bytes are not a snapshot of a sequence ({reason})", field=_FIELD) from error
    states = {}
    for name, tensor in tensors:
        if tensor["dtype"] != "F32" or len(tensor["shape"]) != 1:
            raise InvalidInput(
                f"the state {name[:64]!r} of the snapshot is {tensor['dtype']} {tensor['shape']}, expected F32 [units]",
                field=_FIELD,
            )
        states[name] = np.frombuffer(tensor["data"], np.float32)
        if not np.isfinite(states[name]).all():
            raise InvalidInput(f"the state {name[:64]!r} of the snapshot holds values that are not finite", field=_FIELD)
    return SequenceSnapshot(facts, states)


def _metadata(content: bytes) -> object:
    size = int.from_bytes(content[:8], "little")
    if not 0 < size <= min(len(content) - 8, _MAX_HEADER_BYTES):
        raise ValueError("no header of safetensors")
    header = json.loads(content[8 : 8 + size])
    return header.get("__metadata__") if isinstance(header, dict) else None
