"""A process that serves one small model and uses all of it, then says which libraries it has imported; run by test_frugality.py.

Arguments: the repository, the folder of calibrations, the implementation that answers, and whether the packed kernel is hidden.
It prints one line of JSON: the libraries after all that needs none, and after a request that names an implementation of torch.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from urllib.request import urlopen

import numpy as np

from cellserve.models import reference
from cellserve.models.implementations.packed import library
from cellserve.service.app import serving
from cellserve.service.client import AsyncClient
from cellserve.service.config import Settings
from cellserve.service.registry.repository.repository import Repository

LIBRARIES = ("onnx", "onnxruntime", "torch")


def imported() -> list[str]:
    return [name for name in LIBRARIES if name in sys.modules]


async def page(port: int) -> str:
    return await asyncio.to_thread(lambda: urlopen(f"http://127.0.0.1:{port}/metrics").read().decode())  # type: ignore[no-any-return]


async def use(repository: Path, kept: Path, implementation: str) -> list[list[str]]:
    """Every answer is held against the oracle's."""
    manifest, arrays = Repository(repository).manifest("small", 1), Repository(repository).weights("small", 1).arrays
    settings = Settings(repository=repository, host="127.0.0.1", port=0, metrics_port=0, calibration_folder=kept)
    random = np.random.default_rng(0)
    short, long = (random.normal(size=(steps, 3)).astype(np.float32) for steps in (5, 3000))

    def right(found: object, x: np.ndarray) -> None:
        (expected,), _ = reference.run(manifest.spec, arrays, (x[np.newaxis],), [len(x)])
        np.testing.assert_allclose(np.asarray(found).reshape(-1), expected[0], rtol=1e-5, atol=5e-6)

    async with serving(settings) as running, AsyncClient(f"127.0.0.1:{running.port}") as client:
        while "cellserve_implementation_choice_info{" not in await page(running.metrics_port):
            await asyncio.sleep(0.01)
        for x in (short, long):
            prediction = await client.run("small", [x])
            assert prediction.implementation == implementation, prediction.implementation
            right(prediction.answer[0], x)
        async with client.sequence("small") as sequence:
            await sequence.feed(short)
            snapshot = await sequence.snapshot()
            right(await sequence.feed(long), np.concatenate([short, long]))
        async with await client.restore("small", snapshot) as restored:
            right(await restored.feed(short), np.concatenate([short, short]))
        told = await page(running.metrics_port)
        assert re.search(rf'cellserve_timesteps_total{{implementation="{implementation}"', told)
        frugal = imported()
        masked = np.array([True, True, False, True, True])
        right((await client.run("small", [short], mask=[masked])).answer[0], short[masked])
        prediction = await client.run("small", [long], implementation="2")
        assert prediction.implementation == "2"
        right(prediction.answer[0], long)
    return [frugal, imported()]


if __name__ == "__main__":
    if sys.argv[4] == "hidden":
        library.missing = lambda *file: "it is hidden"
    print(json.dumps(asyncio.run(use(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))))
