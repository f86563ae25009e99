"""One open ModelStreamInfer: each request answered or refused by a message of its own, while the stream goes on.

Messages in, messages out; knows no model.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from cellserve.service.api.streams import StreamedRequests
from cellserve.service.engine.asker import ANYBODY, Asker
from cellserve.service.errors import ServiceError
from cellserve.service.pb import open_inference_pb2 as pb

REQUEST_ID: Final = "request_id"  # the reply parameter; a stream's trailing metadata cannot tell one for each reply

Infer = Callable[[pb.ModelInferRequest, float | None], Awaitable[pb.ModelInferResponse]]


class InferenceStream:
    """infer: answers one request within the seconds given (None: no limit). Lives on the event loop."""

    def __init__(
        self, infer: Infer, around: StreamedRequests, time_remaining: Callable[[], float | None], asker: Asker = ANYBODY
    ) -> None:
        """time_remaining: seconds of the whole stream, None for no limit."""
        self._infer = infer
        self._around = around
        self._time_remaining = time_remaining
        self._asker = asker

    def start(self, request: pb.ModelInferRequest) -> asyncio.Task[pb.ModelStreamInferResponse]:
        return asyncio.create_task(self._around.answer(partial(self._answer, request), partial(_failure, request), self._asker))

    async def _answer(self, request: pb.ModelInferRequest, request_id: str) -> pb.ModelStreamInferResponse:
        response = await self._infer(request, self._time_remaining())
        response.parameters[REQUEST_ID].string_param = request_id
        return pb.ModelStreamInferResponse(infer_response=response)


def _failure(request: pb.ModelInferRequest, error: ServiceError, request_id: str) -> pb.ModelStreamInferResponse:
    response = pb.ModelInferResponse(id=request.id, model_name=request.model_name)
    response.parameters[REQUEST_ID].string_param = request_id
    message = f"[{error.reason}] {error} (request id {request_id})"
    return pb.ModelStreamInferResponse(error_message=message, infer_response=response)
