"""The traffic of the overload benchmark, in a process of its own: `python -m tests.bench.overload_load '{JSON}'` prints JSON.

Open loop: calls come by a seeded Poisson process whatever the server answers, as bytes made beforehand. What a client can see is
told, and how late the generator itself was, so that nobody takes its limit for the server's. A closed loop measures the rate of a
saturated server.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc
import numpy as np
import uvloop
from google.rpc import error_details_pb2, status_pb2

from cellserve.service.errors import RETRY_TICKET_KEY
from tests.bench import door_traffic, http2_calls
from tests.bench.http2_calls import Connection, Reply

_CONNECTIONS = 4
_OK, _REFUSED = grpc.StatusCode.OK.value[0], grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}
_INFER = "/inference.GRPCInferenceService/ModelInfer"


@dataclass
class Plan:
    """rate_per_second: of calls; 0: a closed loop with `in_flight`. lengths: time steps, each as likely as the others.

    settle_seconds: at the start, not counted. following: refused calls come again once, as they were told.
    """

    address: str
    model: str
    width: int
    lengths: list[int]
    seconds: float
    deadline_seconds: float
    rate_per_second: float = 0.0
    in_flight: int = 32
    settle_seconds: float = 2.0
    following: bool = False
    seed: int = 0


@dataclass
class Outcome:
    """Of all calls that came after `settle_seconds`. steps, calls: by their length. late_seconds: of the generator, p99.

    slowest_seconds: of the answers.
    """

    calls: Counter[int] = field(default_factory=Counter)
    answered: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    hinted: int = 0
    returned: int = 0
    returned_answered: int = 0
    seconds: float = 0.0
    late_seconds: float = 0.0
    busy: float = 0.0
    refusal_p99_seconds: float = 0.0
    slowest_seconds: float = 0.0


class _Caller:
    def __init__(self, plan: Plan, connections: list[Connection]) -> None:
        self._connections = connections
        random = np.random.default_rng(1)
        sequences = [random.standard_normal((steps, plan.width), dtype=np.float32) for steps in sorted(set(plan.lengths))]
        self._payloads = {len(each): door_traffic.infer_request(plan.model, each).SerializeToString() for each in sequences}
        self._plan = plan
        self._number = 0
        self.refusals: list[float] = []
        self.outcome = Outcome()

    async def ask(self, steps: int, counted: bool) -> None:
        reply = await self._once(steps, counted, ())
        if reply.code == _OK or not self._plan.following:
            return
        hint_seconds, ticket = _hint_seconds(reply), reply.trailers.get(RETRY_TICKET_KEY)
        if hint_seconds is None or ticket is None or hint_seconds > self._plan.seconds:
            return
        await asyncio.sleep(hint_seconds)
        again = await self._once(steps, False, ((RETRY_TICKET_KEY, ticket.decode()),))
        self.outcome.returned += 1
        self.outcome.returned_answered += again.code == _OK

    async def _once(self, steps: int, counted: bool, metadata: Sequence[tuple[str, str]]) -> Reply:
        self._number += 1
        began = time.monotonic()
        connection = self._connections[self._number % _CONNECTIONS]
        reply = await connection.call(_INFER, self._payloads[steps], self._plan.deadline_seconds, metadata)
        if counted:
            self.outcome.calls[steps] += 1
            if reply.code == _OK:
                self.outcome.answered[steps] += 1
                self.outcome.slowest_seconds = max(self.outcome.slowest_seconds, time.monotonic() - began)
            else:
                self.outcome.codes[_NAMES[reply.code]] += 1
                if reply.code == _REFUSED:
                    self.outcome.hinted += _hint_seconds(reply) is not None
                    self.refusals.append(time.monotonic() - began)
        return reply


def _hint_seconds(reply: Reply) -> float | None:
    """When to come again, as google.rpc has it."""
    status = status_pb2.Status.FromString(reply.trailers.get("grpc-status-details-bin", b""))
    for detail in status.details:
        hint = error_details_pb2.RetryInfo()
        if detail.Unpack(hint):
            return hint.retry_delay.seconds + hint.retry_delay.nanos * 1e-9
    return None


async def _closed(plan: Plan, caller: _Caller, begin: float) -> None:
    random = np.random.default_rng(plan.seed)

    async def one_after_the_other() -> None:
        while (now := time.monotonic()) < begin + plan.settle_seconds + plan.seconds:
            await caller.ask(int(random.choice(plan.lengths)), now >= begin + plan.settle_seconds)

    await asyncio.gather(*(one_after_the_other() for _ in range(plan.in_flight)))


async def _open(plan: Plan, caller: _Caller, begin: float) -> list[float]:
    """How late each call was sent."""
    random = np.random.default_rng(plan.seed)
    span = plan.settle_seconds + plan.seconds
    due = np.sort(random.uniform(0.0, span, random.poisson(plan.rate_per_second * span)))
    steps = random.choice(plan.lengths, len(due))
    under_way: set[asyncio.Task[None]] = set()
    late = []
    for offset, length in zip(due.tolist(), steps.tolist()):
        if (wait := begin + offset - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        late.append(time.monotonic() - begin - offset)
        task = asyncio.create_task(caller.ask(length, offset >= plan.settle_seconds))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        if len(late) % 8 == 0:
            await asyncio.sleep(0)  # a burst that was due together does not keep answers from being read
    if under_way:
        await asyncio.wait(under_way)
    return late


async def run(plan: Plan) -> Outcome:
    connections = [await http2_calls.connect(plan.address) for _ in range(_CONNECTIONS)]
    caller = _Caller(plan, connections)
    begin, cpu = time.monotonic(), time.process_time()
    late = await _open(plan, caller, begin) if plan.rate_per_second else await _closed(plan, caller, begin)
    outcome = caller.outcome
    outcome.seconds = plan.seconds
    outcome.busy = (time.process_time() - cpu) / (time.monotonic() - begin)
    outcome.late_seconds = float(np.percentile(late, 99)) if late else 0.0
    outcome.refusal_p99_seconds = float(np.percentile(caller.refusals, 99)) if caller.refusals else 0.0
    for connection in connections:
        connection.close()
    return outcome


if __name__ == "__main__":
    print(json.dumps(vars(uvloop.run(run(Plan(**json.loads(sys.argv[1])))))))
