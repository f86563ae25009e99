"""Requests as bytes, made beforehand and kept in flight over grpc.aio: the client costs little, and all servers the same."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np

from cellserve.service.pb import cellserve_pb2 as typed
from cellserve.service.pb import open_inference_pb2 as oip

_INFER = "/inference.GRPCInferenceService"
_SEQUENCES = "/cellserve.v1.Sequences"


@dataclass(frozen=True)
class Traffic:
    """rows: sequences in each request. streamed: over one stream instead of in calls.

    failure: what a reply on a stream says went wrong, "" for nothing (a call fails by its status).
    """

    name: str
    method: str
    requests: Sequence[bytes]
    rows: int
    streamed: bool
    failure: Callable[[bytes], str]

    def drive(self, address: str, count: int, in_flight: int) -> None:
        """`count` requests, `in_flight` at a time. Raises when one is not answered."""
        asyncio.run(self._drive(address, count, in_flight))

    async def _drive(self, address: str, count: int, in_flight: int) -> None:
        requests = itertools.islice(itertools.cycle(self.requests), count)
        async with grpc.aio.insecure_channel(address) as channel:
            if self.streamed:
                await self._on_a_stream(channel.stream_stream(self.method)(), requests, count, in_flight)
            else:
                call = channel.unary_unary(self.method)
                await asyncio.gather(*(_in_turn(call, requests) for _ in range(in_flight)))

    async def _on_a_stream(self, call: Any, requests: Iterator[bytes], count: int, in_flight: int) -> None:
        for request in itertools.islice(requests, in_flight):
            await call.write(request)
        for _ in range(count):
            failure = self.failure(await call.read())
            if failure:
                raise RuntimeError(f"{self.name}: {failure}")
            for request in itertools.islice(requests, 1):
                await call.write(request)
        await call.done_writing()


def of(model: str, sequences: Sequence[np.ndarray]) -> list[Traffic]:
    """sequences: each [T, features] float32, a multiple of 16."""
    infer = [infer_request(model, sequence).SerializeToString() for sequence in sequences]
    single = [_run_request(model, [sequence]) for sequence in sequences]
    batches = [_run_request(model, sequences[start : start + 16]).SerializeToString() for start in range(0, len(sequences), 16)]
    streamed = [typed.StreamRequest(id=str(i), run=request).SerializeToString() for i, request in enumerate(single)]
    return [
        Traffic("ModelInfer", f"{_INFER}/ModelInfer", infer, 1, False, _told_by_status),
        Traffic(
            "Sequences.Run", f"{_SEQUENCES}/Run", [request.SerializeToString() for request in single], 1, False, _told_by_status
        ),
        Traffic("Sequences.Run of 16", f"{_SEQUENCES}/Run", batches, 16, False, _told_by_status),
        Traffic("ModelStreamInfer", f"{_INFER}/ModelStreamInfer", infer, 1, True, _stream_infer_failure),
        Traffic("Sequences.Stream", f"{_SEQUENCES}/Stream", streamed, 1, True, _stream_failure),
    ]


async def _in_turn(call: Any, requests: Iterator[bytes]) -> None:
    for request in requests:
        await call(request)


def infer_request(model: str, sequence: np.ndarray) -> oip.ModelInferRequest:
    shape = (1, *sequence.shape)
    return oip.ModelInferRequest(
        model_name=model,
        id="request",
        inputs=[oip.ModelInferRequest.InferInputTensor(name="inputs", datatype="FP32", shape=shape)],
        raw_input_contents=[sequence.tobytes()],
    )


def _run_request(model: str, sequences: Sequence[np.ndarray]) -> typed.RunRequest:
    joined = np.concatenate(sequences)
    return typed.RunRequest(
        model=model,
        lengths=[len(sequence) for sequence in sequences],
        inputs=typed.Tensor(shape=joined.shape, data=joined.tobytes()),
    )


def _told_by_status(reply: bytes) -> str:
    return ""


def _stream_infer_failure(reply: bytes) -> str:
    return oip.ModelStreamInferResponse.FromString(reply).error_message


def _stream_failure(reply: bytes) -> str:
    return typed.StreamReply.FromString(reply).error.message
