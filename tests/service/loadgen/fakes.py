"""A client that answers at once, or as told; and time that passes only in sleep."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cellserve.service.client import Prediction
from cellserve.service.errors import ServiceError


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


@dataclass
class FakeClient:
    """Answers with the sum over time, `seconds` later; `refusals` and `offsets` hold for the n-th request, from 0."""

    clock: Clock = field(default_factory=Clock)
    seconds: float = 0.0
    version: int = 1
    refusals: dict[int, ServiceError] = field(default_factory=dict)
    offsets: dict[int, float] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0

    async def run(self, model: str, x: Any, *, implementation: str, timeout_seconds: float) -> Prediction:
        number = len(self.asked)
        self.asked.append({"model": model, "x": x, "implementation": implementation, "timeout_seconds": timeout_seconds})
        self.under_way += 1
        self.most_under_way = max(self.under_way, self.most_under_way)
        await self.clock.sleep(self.seconds)
        self.under_way -= 1
        if number in self.refusals:
            raise self.refusals[number]
        answer = x.sum(axis=0).astype(np.float32) + np.float32(self.offsets.get(number, 0.0))
        return Prediction(
            answer=answer,
            outputs={"outputs": [answer]},
            state={},
            model=model,
            version=self.version,
            implementation=implementation or "fused",
            queue_seconds=0.0,
            compute_seconds=0.0,
            iterations=1,
        )
