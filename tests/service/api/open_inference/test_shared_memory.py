"""Shared memory: nothing is ever registered, and clients that only tidy up are content."""

from __future__ import annotations

import grpc
import numpy as np
import pytest

from cellserve.service.pb import open_inference_pb2 as pb
from tests.service.api.conftest import Harness, infer_request

KINDS = ["System", "Cuda"]


@pytest.mark.parametrize("kind", KINDS)
async def test_lists_are_empty_and_unregistering_is_no_error(harness: Harness, kind: str) -> None:
    stub = harness.open_inference
    for name in ("", "region"):
        status = await getattr(stub, f"{kind}SharedMemoryStatus")(getattr(pb, f"{kind}SharedMemoryStatusRequest")(name=name))
        assert not status.regions
        await getattr(stub, f"{kind}SharedMemoryUnregister")(getattr(pb, f"{kind}SharedMemoryUnregisterRequest")(name=name))


@pytest.mark.parametrize("kind", KINDS)
async def test_registering_is_refused_in_words(harness: Harness, kind: str) -> None:
    request = getattr(pb, f"{kind}SharedMemoryRegisterRequest")(name="region", byte_size=10)
    with pytest.raises(grpc.aio.AioRpcError, match="send tensors in the messages") as refused:
        await getattr(harness.open_inference, f"{kind}SharedMemoryRegister")(request)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_an_input_that_lies_in_shared_memory_is_refused_though_it_has_no_raw_entry(harness: Harness) -> None:
    request = infer_request("sums", inputs=np.zeros((1, 2, 2), np.float32), lengths=np.array([2]))
    request.inputs[0].parameters["shared_memory_region"].string_param = "region"
    del request.raw_input_contents[0]
    with pytest.raises(grpc.aio.AioRpcError, match="shared_memory_region") as refused:
        await harness.infer(request)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_an_output_to_shared_memory_is_refused(harness: Harness) -> None:
    request = infer_request("sums", inputs=np.zeros((1, 2, 2), np.float32))
    request.outputs.add(name="outputs").parameters["shared_memory_region"].string_param = "region"
    with pytest.raises(grpc.aio.AioRpcError, match="shared_memory_region"):
        await harness.infer(request)
