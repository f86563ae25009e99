"""python -m tests.bench.sessions_load ADDRESS MODEL FEATURES IN_FLIGHT: one-shot requests without pause, until it is ended."""

from __future__ import annotations

import asyncio
import sys

import numpy as np

from cellserve.service.client import AsyncClient

_STEPS = (200, 820)


async def _load(address: str, model: str, features: int, in_flight: int) -> None:
    random = np.random.default_rng(4)
    rows = [random.standard_normal((int(steps), features), dtype=np.float32) for steps in random.integers(*_STEPS, 64)]
    async with AsyncClient(address) as client:

        async def ask(number: int) -> None:
            while True:
                await client.predict(model, rows[number % len(rows)])
                number += in_flight

        asking = [asyncio.create_task(ask(number)) for number in range(in_flight)]
        await client.predict(model, rows[0])
        print(f"loading on {address}", flush=True)
        await asyncio.gather(*asking)


if __name__ == "__main__":
    asyncio.run(_load(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
