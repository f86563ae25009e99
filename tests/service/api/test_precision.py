"""bfloat16 over the wire: for whole sequences and live ones, in both protocols, where the machine can and where it cannot."""

from __future__ import annotations

import grpc
import numpy as np
import pytest

from cellserve.models.implementations import IN_BFLOAT16
from cellserve.models.implementations.packed import library
from cellserve.service.client.tensors import from_wire, to_wire
from cellserve.service.pb import cellserve_pb2 as pb
from tests.compiled import BFLOAT16
from tests.service.api.conftest import Harness, infer_request, network_of, outputs_of

SPEC = {
    "inputs": [{"name": "x", "width": 3}],
    "layers": [{"kind": "lstm", "name": "lstm", "inputs": ["x"], "units": 20, "return_sequences": True}],
    "outputs": ["lstm"],
}
X = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32)

needs_bfloat16 = pytest.mark.skipif(not BFLOAT16, reason="this processor does not multiply in bfloat16")


def run_request(precision: str) -> pb.RunRequest:
    return pb.RunRequest(model="m", lengths=[len(X)], inputs=to_wire(X), precision=precision)


def near_but_not_the_same(found: np.ndarray, exact: np.ndarray) -> bool:
    return 1e-6 < float(np.abs(found - exact).max()) < 1e-2


@needs_bfloat16
async def test_a_request_gets_it_that_asks_for_it(harness: Harness) -> None:
    harness.add("m", network_of(SPEC)[0])
    exact, half, again = [await harness.sequences.Run(run_request(precision)) for precision in ("", "bfloat16", "float32")]
    assert half.implementation == IN_BFLOAT16
    assert IN_BFLOAT16 not in (exact.implementation, again.implementation)
    first, second, third = (from_wire(reply.outputs[0].tensor) for reply in (exact, half, again))
    assert near_but_not_the_same(second, first)
    np.testing.assert_allclose(third, first, atol=1e-6)
    request = infer_request("m", inputs=X[np.newaxis])
    request.parameters["precision"].string_param = "bfloat16"
    response = await harness.infer(request)
    assert response.parameters["implementation"].string_param == IN_BFLOAT16
    np.testing.assert_array_equal(outputs_of(response)["outputs"][0], second)


@needs_bfloat16
async def test_each_feed_of_a_live_sequence_has_its_own_over_states_in_float32(harness: Harness) -> None:
    """In bfloat16 throughout it answers as at once; what goes on in float32 goes on from the very states that were left."""
    harness.add("m", network_of(SPEC)[0])
    whole = from_wire((await harness.sequences.Run(run_request("bfloat16"))).outputs[0].tensor)
    for name, precisions in (("half", ("bfloat16", "bfloat16")), ("mixed", ("bfloat16", "float32"))):
        await harness.sequences.Open(pb.OpenRequest(model="m", sequence_id=name))
        parts = []
        for at, precision in zip((0, 4), precisions):
            steps = X[at : at + 4 if at == 0 else None]
            reply = await harness.sequences.Feed(
                pb.FeedRequest(model="m", sequence_id=name, position=at, inputs=to_wire(steps), precision=precision)
            )
            parts.append(from_wire(reply.answer.outputs[0].tensor))
        np.testing.assert_array_equal(parts[0], whole[:4])
        if name == "half":
            np.testing.assert_array_equal(parts[1], whole[4:])
        else:
            assert near_but_not_the_same(parts[1], whole[4:])


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
async def test_it_is_refused_at_the_door_in_a_sentence(harness: Harness, monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    monkeypatch.setattr(library, "bfloat16_path", lambda library: None)
    harness.add("m", network_of(SPEC)[0])
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await harness.sequences.Run(run_request(precision))
    told = {"bfloat16": "does not multiply in bfloat16", "int8": "there is no precision 'int8'"}
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert told[precision] in (refused.value.details() or "")
    request = infer_request("m", inputs=X[np.newaxis])
    request.parameters["precision"].int64_param = 16
    with pytest.raises(grpc.aio.AioRpcError, match="the parameter precision is an integer, expected a string"):
        await harness.infer(request)
