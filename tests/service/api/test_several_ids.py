"""Several ids at each step, over a real server and both protocols: whole numbers in floating point are ids too."""

from __future__ import annotations

import grpc
import numpy as np
import pytest

from cellserve.models import reference
from cellserve.service.client.tensors import from_wire, to_wire
from cellserve.service.pb import cellserve_pb2 as typed
from tests.service.api.conftest import Harness, infer_request, network_of, outputs_of

TAGGER = {
    "inputs": [{"name": "x", "kind": "ids", "width": 3}],
    "layers": [
        {"kind": "embedding", "name": "words", "inputs": ["x"], "vocabulary": 7, "units": 2},
        {"kind": "reshape", "name": "flat", "inputs": ["words"], "features": [6], "axes": 2},
        {"kind": "gru", "name": "gru", "inputs": ["flat"], "units": 4, "return_sequences": True},
    ],
    "outputs": ["gru"],
}
IDS = np.random.default_rng(0).integers(0, 7, (2, 5, 3))


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.float32])
async def test_both_protocols_answer_alike(harness: Harness, dtype: type) -> None:
    network, arrays = network_of(TAGGER)
    (expected,), _ = reference.run(network.spec, arrays, (IDS,), (5, 5))
    harness.add("tagger", network)
    given = IDS.astype(dtype)
    padded = outputs_of(await harness.infer(infer_request("tagger", inputs=given)))["outputs"]
    np.testing.assert_allclose(padded, expected, rtol=1e-5, atol=2e-6)
    reply = await harness.sequences.Run(typed.RunRequest(model="tagger", lengths=[5, 5], inputs=to_wire(given.reshape(10, 3))))
    np.testing.assert_allclose(from_wire(reply.outputs[0].tensor), expected.reshape(10, 4), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(7.0, r"holds the id 7 at \[1, 4, 2\]; this model knows the ids 0 to 6"), (0.5, r"holds 0\.5 at \[1, 4, 2\]")],
)
async def test_what_is_no_id_is_refused_at_the_door(harness: Harness, wrong: float, said: str) -> None:
    harness.add("tagger", network_of(TAGGER)[0])
    given = IDS.astype(np.float32)
    given[1, 4, 2] = wrong
    with pytest.raises(grpc.aio.AioRpcError, match=said) as caught:
        await harness.infer(infer_request("tagger", inputs=given))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_what_a_mask_leaves_out_may_be_anything(harness: Harness) -> None:
    harness.add("tagger", network_of(TAGGER)[0])
    given, mask = IDS.astype(np.float32), np.ones((2, 5), np.bool_)
    given[1, 4], mask[1, 4] = np.nan, False
    found = outputs_of(await harness.infer(infer_request("tagger", inputs=given, mask=mask)))["outputs"]
    assert np.isfinite(found).all()
