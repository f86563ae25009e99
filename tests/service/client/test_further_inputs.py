"""A second sequence, and rows of no steps, through both clients: what a real server answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellserve.models import reference
from cellserve.service.client import AsyncClient, Client
from cellserve.service.registry.repository.repository import Repository
from tests.golden.cases import GoldenCase, all_cases
from tests.service.served import publish, served

CASES = {case.name.partition(".")[0]: case for case in all_cases()}
SEQ2SEQ, SHARED = CASES["k3_seq2seq"], CASES["k3_shared_lstm_two_inputs"]
Asked = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both cases and `small`."""
    root = tmp_path_factory.mktemp("repository")
    for name, case in (("pair", SEQ2SEQ), ("shared", SHARED)):
        Repository(root).publish(name, case.load())
    publish(root)
    return root


@pytest.fixture(params=["sync", "stream", "calls"])
async def ask(request: pytest.FixtureRequest, root: Path) -> AsyncIterator[Asked]:
    async with served(root) as server:
        url = f"127.0.0.1:{server.running.port}"

        async def asked(method: str, *arguments: Any, **options: Any) -> Any:
            if request.param == "sync":
                with Client(url) as client:
                    return await asyncio.to_thread(getattr(client, method), *arguments, **options)
            async with AsyncClient(url, streams=request.param == "stream") as client:
                return await getattr(client, method)(*arguments, **options)

        yield asked


def agree(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=2e-6)


def alone(case: GoldenCase, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    model = case.load()
    (answer, *_), _ = reference.run(model.spec, model.weights.arrays, (x[None], y[None]), [(len(x), len(y))])
    return answer[0]


@pytest.mark.parametrize(("model", "case"), [("pair", SEQ2SEQ), ("shared", SHARED)])
async def test_a_batch_of_each_a_list_of_each_one_of_each(ask: Asked, model: str, case: GoldenCase) -> None:
    (call,) = case.calls
    (x, y), expected = call.inputs, call.outputs[0]
    agree(await ask("predict", model, x, more_inputs=[y]), expected)
    agree(np.stack(await ask("predict", model, list(x), more_inputs=[list(y)])), expected)
    agree(np.stack(await ask("predict", model, list(x), more_inputs=[y])), expected)
    agree(await ask("predict", model, x[0], more_inputs=[y[0]]), expected[0])


@pytest.mark.parametrize(("model", "case"), [("pair", SEQ2SEQ), ("shared", SHARED)])
async def test_lengths_of_each(ask: Asked, model: str, case: GoldenCase) -> None:
    x, y = case.calls[0].inputs
    lengths, more_lengths = [3, 6, 1, 2], [2, 1, 6, 5]
    cut = [(a[:n], b[:m]) for a, b, n, m in zip(x, y, lengths, more_lengths)]
    listed = await ask("predict", model, [a for a, _ in cut], more_inputs=[[b for _, b in cut]])
    batch = await ask("predict", model, x, lengths=lengths, more_inputs=[y], more_lengths=[more_lengths])
    for answer, padded, (a, b) in zip(listed, batch, cut):
        agree(answer, alone(case, a, b))
        agree(padded[: len(answer)], answer)


async def test_one_step_of_each(ask: Asked) -> None:
    x, y = SEQ2SEQ.calls[0].inputs
    agree(await ask("predict", "pair", x[0, :1], more_inputs=[y[0, :1]]), alone(SEQ2SEQ, x[0, :1], y[0, :1]))


async def test_a_row_of_no_steps_beside_others(ask: Asked) -> None:
    steps = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    whole, none = await ask("predict", "small", [steps, steps[:0]])
    agree(whole, await ask("predict", "small", steps))
    np.testing.assert_array_equal(none, np.zeros(4))
    seen = await ask("run", "small", np.stack([steps, steps]), lengths=[4, 0], return_state=True)
    np.testing.assert_array_equal(seen.answer[1], np.zeros(4))
    np.testing.assert_array_equal(seen.state["0.c"][1], np.zeros(4))
