"""python -m tests.bench.door_echo: the floor of the door. A bare grpc.aio server that parses the requests the real one takes
and answers at once with a reply of the same shape. Prints its port, serves until its standard input is closed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np

from cellserve.service.pb import cellserve_pb2 as typed
from cellserve.service.pb import cellserve_pb2_grpc as typed_grpc
from cellserve.service.pb import open_inference_pb2 as oip
from cellserve.service.pb import open_inference_pb2_grpc as oip_grpc

CLASSES = 4


class _Oip(oip_grpc.GRPCInferenceServiceServicer):
    async def ServerLive(self, request: oip.ServerLiveRequest, context: Any) -> oip.ServerLiveResponse:
        return oip.ServerLiveResponse(live=True)

    async def ModelInfer(self, request: oip.ModelInferRequest, context: Any) -> oip.ModelInferResponse:
        return _infer(request)

    async def ModelStreamInfer(
        self, requests: AsyncIterator[oip.ModelInferRequest], context: Any
    ) -> AsyncIterator[oip.ModelStreamInferResponse]:
        async for request in requests:
            yield oip.ModelStreamInferResponse(infer_response=_infer(request))


class _Sequences(typed_grpc.SequencesServicer):
    async def Run(self, request: typed.RunRequest, context: Any) -> typed.RunReply:
        return _run(request)

    async def Stream(self, requests: AsyncIterator[typed.StreamRequest], context: Any) -> AsyncIterator[typed.StreamReply]:
        async for request in requests:
            yield typed.StreamReply(id=request.id, request_id="00000000-000001", run=_run(request.run))


def _infer(request: oip.ModelInferRequest) -> oip.ModelInferResponse:
    given = request.inputs[0]
    np.frombuffer(request.raw_input_contents[0], np.float32).reshape(given.shape)
    rows = given.shape[0]
    response = oip.ModelInferResponse(
        model_name=request.model_name,
        model_version="1",
        id=request.id,
        outputs=[oip.ModelInferResponse.InferOutputTensor(name="outputs", datatype="FP32", shape=(rows, CLASSES))],
        raw_output_contents=[bytes(4 * rows * CLASSES)],
    )
    response.parameters["implementation"].string_param = "fused"
    response.parameters["queue_us"].int64_param = 1000
    response.parameters["compute_us"].int64_param = 1000
    response.parameters["iterations"].int64_param = 2
    return response


def _run(request: typed.RunRequest) -> typed.RunReply:
    np.frombuffer(request.inputs.data, np.float32).reshape(request.inputs.shape)
    rows = len(request.lengths)
    return typed.RunReply(
        model=request.model,
        version="1",
        implementation="fused",
        queue_seconds=0.001,
        compute_seconds=0.001,
        iterations=2,
        lengths=request.lengths,
        outputs=[
            typed.Output(name="outputs", tensor=typed.Tensor(shape=(rows, CLASSES), data=bytes(4 * rows * CLASSES))),
        ],
    )


async def _serve() -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    oip_grpc.add_GRPCInferenceServiceServicer_to_server(_Oip(), server)  # type: ignore[no-untyped-call]
    typed_grpc.add_SequencesServicer_to_server(_Sequences(), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"ready on 127.0.0.1:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(_serve())
