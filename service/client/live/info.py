"""What a server says of its live sequences, as plain values. Pure: messages in, values out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cellserve.service.pb import cellserve_pb2 as pb

Residence = Literal["active", "idle", "parked"]


@dataclass(frozen=True, slots=True)
class SequenceInfo:
    """One live sequence. position: time steps consumed. age_seconds: since it was opened. idle_seconds: since its last feed.

    bytes: of its recurrent states. state: active (a feed is under way), idle (in memory), or parked (on disk). replica: where
    servers share a store, which of them worked with it last.
    """

    model: str
    id: str
    version: int
    position: int
    epoch: str
    age_seconds: float
    idle_seconds: float
    bytes: int
    state: Residence
    replica: str = ""


_RESIDENCES: dict[int, Residence] = {
    pb.SequenceInfo.ACTIVE: "active",
    pb.SequenceInfo.IDLE: "idle",
    pb.SequenceInfo.PARKED: "parked",
}


def sequence_infos(reply: pb.ListSequencesReply) -> list[SequenceInfo]:
    return [
        SequenceInfo(
            model=each.model,
            id=each.sequence_id,
            version=each.version,
            position=each.position,
            epoch=each.epoch,
            age_seconds=each.age_seconds,
            idle_seconds=each.idle_seconds,
            bytes=each.bytes,
            state=_RESIDENCES.get(each.state, "idle"),
            replica=each.replica,
        )
        for each in reply.sequences
    ]
