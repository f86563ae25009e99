"""Good requests with known answers, for the witnesses of a fuzz: each published random model, asked over both protocols, and
those that can be, fed step by step in a live sequence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import grpc
import numpy as np

from cellserve.service.pb import cellserve_pb2 as typed
from cellserve.service.pb import open_inference_pb2 as oip
from tests.e2e.models import BIDIRECTIONAL, IDS, RANDOM_MODELS, RandomModel
from tests.fuzz.cases import FEED, INFER, OPEN, RUN
from tests.patience import Waited, nobody, within

ROWS, STEPS = 2, 6
PATIENCE_SECONDS, AGAIN_SECONDS = 30.0, 0.1


def questions(channel: grpc.aio.Channel, waited: Waited = nobody) -> list[Callable[[], Awaitable[None]]]:
    """Each asks, as often as it is told to come again, and raises where the answer is not the oracle's."""
    whole = [ask for model in RANDOM_MODELS for ask in (_by_infer(channel, model), _by_run(channel, model))]
    feeding = [_by_feeding(channel, model) for model in RANDOM_MODELS if model is not BIDIRECTIONAL]
    return [partial(_patiently, ask, waited) for ask in (*whole, *feeding)]


async def _patiently(ask: Callable[[], Awaitable[None]], waited: Waited) -> None:
    """A machine that others keep busy may refuse some."""
    await within(PATIENCE_SECONDS, _until_let_in(ask), waited)


async def _until_let_in(ask: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await ask()
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
            await asyncio.sleep(AGAIN_SECONDS)
        else:
            return


def _inputs(model: RandomModel) -> np.ndarray:
    numbers, entry = np.random.default_rng(3), model.spec.inputs[0]
    if model is IDS:
        return numbers.integers(0, 9, (ROWS, STEPS))
    return numbers.normal(size=(ROWS, STEPS, entry.width or 1)).astype(np.float32)


def _by_infer(channel: grpc.aio.Channel, model: RandomModel) -> Callable[[], Awaitable[None]]:
    inputs = _inputs(model)
    expected = model.answer(inputs)
    request = oip.ModelInferRequest(model_name=model.name, raw_input_contents=[inputs.tobytes()])
    request.inputs.add(name="inputs", datatype="INT64" if model is IDS else "FP32", shape=inputs.shape)
    data = request.SerializeToString()

    async def ask() -> None:
        reply = oip.ModelInferResponse.FromString(await channel.unary_unary(INFER)(data))
        _require_equal(reply.raw_output_contents[0], expected)

    return ask


def _by_run(channel: grpc.aio.Channel, model: RandomModel) -> Callable[[], Awaitable[None]]:
    inputs = _inputs(model)
    expected = model.answer(inputs)
    flat = inputs.reshape(-1, *inputs.shape[2:])
    tensor = typed.Tensor(dtype=typed.INT64 if model is IDS else typed.FLOAT32, shape=flat.shape, data=flat.tobytes())
    data = typed.RunRequest(model=model.name, lengths=[STEPS] * ROWS, inputs=tensor).SerializeToString()

    async def ask() -> None:
        reply = typed.RunReply.FromString(await channel.unary_unary(RUN)(data))
        _require_equal(reply.outputs[0].tensor.data, expected)

    return ask


def _by_feeding(channel: grpc.aio.Channel, model: RandomModel) -> Callable[[], Awaitable[None]]:
    """One sequence of a known name: begun again, then fed its steps one by one."""
    row = _inputs(model)[0]
    named = {"model": model.name, "sequence_id": f"of the witness of {model.name}"}

    async def ask() -> None:
        await channel.unary_unary(OPEN)(typed.OpenRequest(**named, restart=True).SerializeToString())
        for position in range(STEPS):
            step = row[position : position + 1]
            tensor = typed.Tensor(dtype=typed.INT64 if model is IDS else typed.FLOAT32, shape=step.shape, data=step.tobytes())
            request = typed.FeedRequest(**named, position=position, inputs=tensor)
            reply = typed.FeedReply.FromString(await channel.unary_unary(FEED)(request.SerializeToString()))
            whole = model.answer(row[np.newaxis, : position + 1])[0]
            _require_equal(reply.answer.outputs[0].tensor.data, whole[-1:] if reply.answer.outputs[0].per_step else whole)

    return ask


def _require_equal(data: bytes, expected: np.ndarray) -> None:
    answer = np.frombuffer(data, np.float32).reshape(expected.shape)
    np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=2e-6)
