"""A Sequences server on loopback that answers from a script: replies, or refusals with google.rpc details.

The model it plays returns its inputs plus one for each step, the sum over time as a second output, and counts steps as state.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import grpc
import numpy as np
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from cellserve.service.client.tensors import from_wire, to_wire
from cellserve.service.pb import cellserve_pb2 as pb
from cellserve.service.pb import cellserve_pb2_grpc as pb_grpc

Ask = Callable[..., Any]


class Clock:
    """Time that passes only in sleep."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)


def sequence(steps: int, features: int = 2, start: int = 0) -> np.ndarray:
    return np.arange(start, start + steps * features, dtype=np.float32).reshape(steps, features)


@dataclass(frozen=True)
class Refusal:
    code: grpc.StatusCode
    reason: str = ""
    message: str = "refused"
    retry_after_seconds: float | None = None
    field: str = ""
    request_id: str = ""
    ticket: str = ""

    def abort(self, context: grpc.ServicerContext) -> None:
        if not self.reason:
            context.abort(self.code, self.message)
        details: list[Any] = [
            error_details_pb2.ErrorInfo(reason=self.reason, domain="cellserve", metadata={"request_id": self.request_id})
        ]
        if self.retry_after_seconds is not None:
            delay = duration_pb2.Duration()
            delay.FromNanoseconds(int(self.retry_after_seconds * 1e9))
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        if self.field:
            details.append(
                error_details_pb2.BadRequest(field_violations=[error_details_pb2.BadRequest.FieldViolation(field=self.field)])
            )
        packed = []
        for detail in details:
            packed.append(any_pb2.Any())
            packed[-1].Pack(detail)
        message = f"[{self.reason}] {self.message}"
        status = rpc_status.to_status(status_pb2.Status(code=self.code.value[0], message=message, details=packed))
        if self.ticket:
            status = status._replace(trailing_metadata=(*status.trailing_metadata, ("cellserve-retry-ticket", self.ticket)))
        context.abort_with_status(status)


@dataclass
class FakeSequences(pb_grpc.SequencesServicer):
    """Each call takes the next entry of `script`: a Refusal, or a reply as it stands; without one it answers as its model."""

    script: list[Refusal | pb.RunReply] = field(default_factory=list)
    requests: list[pb.RunRequest] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)
    deadlines_seconds: list[float] = field(default_factory=list)
    version: str = "7"
    meeting: threading.Barrier | None = None  # calls without an entry wait for each other there
    silent: threading.Event | None = None  # they wait until this is set
    returns_sequences: bool = True

    def Run(self, request: pb.RunRequest, context: grpc.ServicerContext) -> pb.RunReply:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.deadlines_seconds.append(context.time_remaining())
        entry = self.script.pop(0) if self.script else None
        if isinstance(entry, Refusal):
            entry.abort(context)
        if isinstance(entry, pb.RunReply):
            return entry
        if self.meeting is not None:
            self.meeting.wait(timeout=30)
        if self.silent is not None:
            self.silent.wait(timeout=30)
        return self._answer(request)

    def _answer(self, request: pb.RunRequest) -> pb.RunReply:
        inputs = from_wire(request.inputs).astype(np.float32)
        rows = [inputs[start:end] for start, end in pairwise(np.cumsum([0, *request.lengths]))]
        sums = np.stack([np.atleast_1d(row.sum(axis=0)) for row in rows])
        outputs = [
            pb.Output(name="outputs", per_step=True, tensor=to_wire(inputs + 1)),
            pb.Output(name="outputs_1", per_step=False, tensor=to_wire(sums)),
        ]
        steps = np.array([[len(row)] for row in rows], dtype=np.float32)
        if "0.h" in request.state:
            steps = steps + from_wire(request.state["0.h"])
        return pb.RunReply(
            model=request.model,
            version=request.version if request.version.isdigit() else self.version,
            implementation=request.implementation or "fused",
            lengths=request.lengths,
            outputs=outputs if self.returns_sequences else [pb.Output(name="outputs", tensor=outputs[1].tensor)],
            state={"0.h": to_wire(steps)} if request.return_state else {},
            queue_seconds=0.25,
            compute_seconds=0.5,
            iterations=len(rows),
        )


@contextmanager
def serving(fake: FakeSequences, port: int = 0) -> Iterator[str]:
    """The address at which `fake` answers. port: 0 for any that is free."""
    server = grpc.server(ThreadPoolExecutor(max_workers=8))
    pb_grpc.add_SequencesServicer_to_server(fake, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        if fake.silent is not None:
            fake.silent.set()
        server.stop(None).wait()
