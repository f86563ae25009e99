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
from typing import Any

import grpc
import numpy as np

from cellserve.service.client.errors import mirrored
from cellserve.service.errors import RETRY_TICKET_KEY
from tests.bench import door_traffic

_CHANNELS = 4
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
    """Of all calls that came after `settle_seconds`. steps, calls: by their length. late_seconds: of the generator, p99."""

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


class _Caller:
    def __init__(self, plan: Plan) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channels = [grpc.aio.insecure_channel(plan.address, options=options) for _ in range(_CHANNELS)]
        self._calls = [channel.unary_unary(_INFER) for channel in self._channels]
        random = np.random.default_rng(1)
        sequences = [random.standard_normal((steps, plan.width), dtype=np.float32) for steps in sorted(set(plan.lengths))]
        self._payloads = {len(each): door_traffic.infer_request(plan.model, each).SerializeToString() for each in sequences}
        self._plan = plan
        self._number = 0
        self.refusals: list[float] = []
        self.outcome = Outcome()

    async def ask(self, steps: int, counted: bool) -> None:
        error = await self._once(steps, counted, ())
        if error is None or not self._plan.following:
            return
        told = mirrored(error, self._plan.address)
        ticket = next((value for key, value in error.trailing_metadata() or () if key == RETRY_TICKET_KEY), None)
        if told.retry_after_seconds is None or ticket is None or told.retry_after_seconds > self._plan.seconds:
            return
        await asyncio.sleep(told.retry_after_seconds)
        again = await self._once(steps, False, ((RETRY_TICKET_KEY, ticket),))
        self.outcome.returned += 1
        self.outcome.returned_answered += again is None

    async def _once(self, steps: int, counted: bool, metadata: Sequence[tuple[str, Any]]) -> Any:
        self._number += 1
        began = time.monotonic()
        call = self._calls[self._number % _CHANNELS]
        if counted:
            self.outcome.calls[steps] += 1
        try:
            await call(self._payloads[steps], timeout=self._plan.deadline_seconds, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            if counted:
                self.outcome.codes[error.code().name] += 1
                if any(key == RETRY_TICKET_KEY or key == "grpc-status-details-bin" for key, _ in error.trailing_metadata() or ()):
                    self.outcome.hinted += error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                    self.refusals.append(time.monotonic() - began)
            return error
        if counted:
            self.outcome.answered[steps] += 1
        return None

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()


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
    caller = _Caller(plan)
    begin, cpu = time.monotonic(), time.process_time()
    late = await _open(plan, caller, begin) if plan.rate_per_second else await _closed(plan, caller, begin)
    outcome = caller.outcome
    outcome.seconds = plan.seconds
    outcome.busy = (time.process_time() - cpu) / (time.monotonic() - begin)
    outcome.late_seconds = float(np.percentile(late, 99)) if late else 0.0
    outcome.refusal_p99_seconds = float(np.percentile(caller.refusals, 99)) if caller.refusals else 0.0
    await caller.close()
    return outcome


if __name__ == "__main__":
    print(json.dumps(vars(asyncio.run(run(Plan(**json.loads(sys.argv[1])))))))
