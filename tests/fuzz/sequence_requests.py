"""cellserve.v1 messages about one live sequence that are right, and the ways to make one of them wrong. As in infer_requests.

The sequence is called NAMELESS here and named when its story is told. Every story has fed it BEFORE steps already.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from hypothesis import strategies as st

from cellserve.service.pb import cellserve_pb2 as pb
from tests.fuzz.arrays import MOST_STEPS, batches
from tests.fuzz.cases import NAMELESS
from tests.fuzz.damage import damaged
from tests.fuzz.infer_requests import INVALID, NOTHING, OK, UNKNOWN
from tests.fuzz.targets import Target
from tests.fuzz.tensor_mutations import data, dtype, implementation, mask, more_inputs, priority, shape, tensor, value
from tests.fuzz.values import ANY_INTEGERS, NAMES, STRANGE_SIZES, VERSIONS

Mutation = Callable[[st.DrawFn, Any], frozenset[str]]

NAME: Final = NAMELESS.decode()
BEFORE: Final = MOST_STEPS + 1  # more than any drawn feed has, so that none repeats that one
MISPLACED: Final = frozenset(("FAILED_PRECONDITION",))
LIVE: Final = frozenset(("ALREADY_EXISTS",))
_TOO_LONG: Final = "x" * 257


@dataclass(frozen=True, slots=True)
class Kind:
    """A method. good: a message for it, what it is answered with, and where the sequence stands then (None: nowhere)."""

    method: str
    good: Callable[[st.DrawFn, Target], tuple[Any, frozenset[str], int | None]]
    mutations: tuple[Mutation, ...]


def opening(target: Target) -> pb.OpenRequest:
    return pb.OpenRequest(model=target.model, sequence_id=NAME)


def before(target: Target) -> pb.FeedRequest:
    shape_ = (BEFORE,) if target.width is None else (BEFORE, target.width)
    steps = np.zeros(shape_, np.int64 if target.width is None else np.float32)
    return pb.FeedRequest(model=target.model, sequence_id=NAME, position=0, inputs=tensor(steps))


def closing(target: Target) -> pb.CloseRequest:
    return pb.CloseRequest(model=target.model, sequence_id=NAME)


# --- good ones ---


def _open(draw: st.DrawFn, target: Target) -> tuple[pb.OpenRequest, frozenset[str], int | None]:
    restart = draw(st.booleans())
    request = pb.OpenRequest(model=target.model, sequence_id=NAME, restart=restart)
    for key, state in draw(batches(target, 1)).states.items():
        request.state[key].CopyFrom(tensor(state))
    return request, OK if restart else LIVE, 0 if restart else BEFORE


def _feed(draw: st.DrawFn, target: Target) -> tuple[pb.FeedRequest, frozenset[str], int | None]:
    batch = draw(batches(target, 1))
    (row,) = batch.values
    request = pb.FeedRequest(model=target.model, sequence_id=NAME, inputs=tensor(row), return_state=draw(st.booleans()))
    if draw(st.booleans()):
        request.position = BEFORE
    if batch.mask is not None:
        request.mask.CopyFrom(tensor(batch.mask[0]))
    return request, OK, BEFORE + len(row)


def _get(draw: st.DrawFn, target: Target) -> tuple[pb.GetRequest, frozenset[str], int | None]:
    return pb.GetRequest(model=target.model, sequence_id=NAME), OK, BEFORE


def _snapshot(draw: st.DrawFn, target: Target) -> tuple[pb.SnapshotRequest, frozenset[str], int | None]:
    return pb.SnapshotRequest(model=target.model, sequence_id=NAME), OK, BEFORE


def _close(draw: st.DrawFn, target: Target) -> tuple[pb.CloseRequest, frozenset[str], int | None]:
    return closing(target), OK, None


def _fork(draw: st.DrawFn, target: Target) -> tuple[pb.ForkRequest, frozenset[str], int | None]:
    other = draw(st.sampled_from(("", f"{NAME}/2")))
    return pb.ForkRequest(model=target.model, sequence_id=NAME, new_sequence_id=other), OK, BEFORE


def _list(draw: st.DrawFn, target: Target) -> tuple[pb.ListSequencesRequest, frozenset[str], int | None]:
    return pb.ListSequencesRequest(model=draw(st.sampled_from(("", target.model)))), OK, BEFORE


def _restore(draw: st.DrawFn, target: Target) -> tuple[pb.RestoreRequest, frozenset[str], int | None]:
    position = draw(st.integers(0, 100))
    request = pb.RestoreRequest(model=target.model, snapshot=_snapshot_of(target, position=position), sequence_id=NAME)
    request.restart = draw(st.booleans())
    return request, OK if request.restart else LIVE, position if request.restart else BEFORE


def _snapshot_of(target: Target, width_more: int = 0, first: float = 0.5, **facts: object) -> bytes:
    """A snapshot as a server writes it, of any position. facts: others than are right."""
    stated = {
        "format": "cellserve.sequence",
        "schema_version": 1,
        "model": target.model,
        "version": 1,
        "weights_digest": target.weights_digest,
        "position": 0,
    }
    header: dict[str, object] = {"__metadata__": {name: str(fact) for name, fact in (stated | facts).items()}}
    values = b""
    for key, width in target.states.items():
        state = np.full(width + width_more, first, np.float32).tobytes()
        header[key] = {"dtype": "F32", "shape": [width + width_more], "data_offsets": [len(values), len(values) + len(state)]}
        values += state
    described = json.dumps(header).encode()  # safetensors' own library does not write the same bytes each time
    return len(described).to_bytes(8, "little") + described + values


# --- what makes them wrong ---


def _model(draw: st.DrawFn, message: Any) -> frozenset[str]:
    message.model = draw(NAMES.filter(bool))
    return UNKNOWN | INVALID


def _version(draw: st.DrawFn, message: Any) -> frozenset[str]:
    message.version = draw(VERSIONS)
    return UNKNOWN | INVALID


def _another(draw: st.DrawFn, message: Any) -> frozenset[str]:
    """An id that nobody has, or that nobody can have."""
    message.sequence_id = draw(NAMES | st.sampled_from((_TOO_LONG, NAME[:-1], NAME + "\0")))
    return UNKNOWN | INVALID


def _too_long(draw: st.DrawFn, message: Any) -> frozenset[str]:
    message.sequence_id = draw(st.sampled_from((_TOO_LONG, "é" * 9999)))
    return INVALID


def _too_long_a_copy(draw: st.DrawFn, message: Any) -> frozenset[str]:
    message.new_sequence_id = _TOO_LONG
    return INVALID


def _onto_itself(draw: st.DrawFn, message: Any) -> frozenset[str]:
    message.new_sequence_id = NAME
    return LIVE


def _position(draw: st.DrawFn, message: Any) -> frozenset[str]:
    message.position = draw((STRANGE_SIZES | ANY_INTEGERS).filter(lambda position: position != BEFORE))
    return INVALID if message.position < 0 else MISPLACED


def _epoch(draw: st.DrawFn, message: Any) -> frozenset[str]:
    message.epoch = draw(st.text(min_size=1, max_size=9) | st.sampled_from(("0" * 16, "/", "-1", "x" * 5000)))
    return UNKNOWN


def _end(draw: st.DrawFn, message: Any) -> frozenset[str]:
    message.end = True
    return OK


def _no_inputs(draw: st.DrawFn, message: Any) -> frozenset[str]:
    message.ClearField("inputs")
    return INVALID if message.HasField("mask") else OK


def _state(draw: st.DrawFn, message: Any) -> frozenset[str]:
    key = draw(st.sampled_from(("", "9.h", "0.x", "0", "state.0.h", "0.seen", "h" * 5000)))
    message.state[key].CopyFrom(pb.Tensor(shape=[1, 1], data=bytes(4)))
    return INVALID


def _of_states(mutate: Mutation) -> Mutation:
    def mutated(draw: st.DrawFn, message: Any) -> frozenset[str]:
        return mutate(draw, message) if message.state else NOTHING

    mutated.__name__ = mutate.__name__
    return mutated


def _snapshot_bytes(draw: st.DrawFn, message: Any) -> frozenset[str]:
    message.snapshot = draw(damaged(message.snapshot) | st.binary(max_size=99))
    return INVALID | MISPLACED | OK | LIVE  # where the damage is to a number, it is another number


def _facts(draw: st.DrawFn, message: Any, target: Target) -> frozenset[str]:
    """Of other weights, of no moment, or of other states."""
    wrong: tuple[tuple[dict[str, Any], frozenset[str]], ...] = (
        ({"weights_digest": f"sha256:{'0' * 64}"}, MISPLACED),
        ({"weights_digest": target.weights_digest.upper()}, INVALID),
        ({"position": -1}, INVALID),
        ({"position": 2**62}, INVALID),
        ({"version": 0}, INVALID),
        ({"format": "cellserve.sequences"}, INVALID),
        ({"schema_version": 2}, INVALID),
        ({"width_more": 1}, INVALID),
        ({"first": float("nan")}, INVALID),
    )
    facts, codes = draw(st.sampled_from(wrong))
    message.snapshot = _snapshot_of(target, **facts)
    return codes


def kinds(target: Target) -> tuple[Kind, ...]:
    def facts(draw: st.DrawFn, message: Any) -> frozenset[str]:
        return _facts(draw, message, target)

    named = (_model, _another)
    states = tuple(_of_states(mutate) for mutate in (dtype, shape, data))
    feeds = (*named, _position, _epoch, _end, _no_inputs, dtype, shape, data, value, mask, more_inputs, implementation, priority)
    feed = Kind("Feed", _feed, feeds)
    return (
        feed,
        feed,
        feed,
        feed,
        Kind("Open", _open, (_model, _version, _too_long, _state, *states)),
        Kind("Get", _get, named),
        Kind("Snapshot", _snapshot, named),
        Kind("Close", _close, named),
        Kind("Fork", _fork, (*named, _too_long_a_copy, _onto_itself)),
        Kind("List", _list, (_model,)),
        Kind("Restore", _restore, (_model, _too_long, _snapshot_bytes, facts)),
    )
