"""Models that see several time steps at once, over a real server: rows of unequal length, two sequence inputs, rows too short."""

from __future__ import annotations

import grpc
import numpy as np
import pytest

from cellserve.models import reference
from cellserve.service.pb import open_inference_pb2 as pb
from tests.service.api.conftest import Harness, infer_request, network_of, outputs_of

CONVOLVED = {
    "inputs": [{"name": "x", "width": 2}],
    "layers": [
        {"kind": "conv1d", "name": "conv", "inputs": ["x"], "units": 3, "kernel_size": 3, "activation": "relu"},
        {"kind": "pooling_1d", "name": "pool", "inputs": ["conv"], "mode": "max"},
        {"kind": "lstm", "name": "lstm", "inputs": ["pool"], "units": 4, "return_sequences": True},
    ],
    "outputs": ["lstm", "lstm:h"],
}
TWO_SEQUENCES = {
    "inputs": [{"name": "x", "width": 2}, {"name": "ids", "kind": "ids"}],
    "layers": [
        {"kind": "embedding", "name": "words", "inputs": ["ids"], "vocabulary": 5, "units": 2},
        {"kind": "merge", "name": "both", "inputs": ["x", "words"], "mode": "concat"},
        {"kind": "gru", "name": "gru", "inputs": ["both"], "units": 3},
    ],
    "outputs": ["gru"],
}
LENGTHS = np.array([9, 4, 7], np.int64)


def steps(rows: int = 3, time: int = 9) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(rows, time, 2)).astype(np.float32)


async def test_every_row_has_the_steps_that_its_own_length_gives(harness: Harness) -> None:
    network, arrays = network_of(CONVOLVED)
    harness.add("convolved", network)
    x = steps()
    answer = outputs_of(await harness.infer(infer_request("convolved", inputs=x, lengths=LENGTHS)))
    (sequences, last), _ = reference.run(network.spec, arrays, (x,), LENGTHS.tolist())
    assert answer["outputs"].shape == (3, 3, 4)  # windows of 3 in 9 steps: 7, of which pairs: 3
    np.testing.assert_allclose(answer["outputs"], sequences, rtol=1e-5, atol=2e-6)
    assert not answer["outputs"][1, 1:].any()
    np.testing.assert_allclose(answer["outputs_1"], last, rtol=1e-5, atol=2e-6)


async def test_metadata_leaves_the_number_of_steps_open(harness: Harness) -> None:
    harness.add("convolved", network_of(CONVOLVED)[0])
    metadata = await harness.open_inference.ModelMetadata(pb.ModelMetadataRequest(name="convolved"))
    assert [list(each.shape) for each in metadata.outputs] == [[-1, -1, 4], [-1, 4]]


@pytest.mark.parametrize(
    ("time", "lengths", "told"),
    [(9, {"lengths": np.array([9, 3, 7], np.int64)}, "row 1 has 3 time steps"), (3, {}, "row 0 has 3 time steps")],
)
async def test_a_row_too_short_for_a_window_is_refused_before_it_meets_others(
    harness: Harness, time: int, lengths: dict[str, np.ndarray], told: str
) -> None:
    harness.add("convolved", network_of(CONVOLVED)[0])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await harness.infer(infer_request("convolved", inputs=steps(time=time), **lengths))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert f"{told}, but the windows of this model's layers need at least 4" in (caught.value.details() or "")


async def test_two_sequences_side_by_side(harness: Harness) -> None:
    network, arrays = network_of(TWO_SEQUENCES)
    harness.add("two", network)
    x, ids = steps(), np.random.default_rng(6).integers(0, 5, (3, 9))
    answer = outputs_of(await harness.infer(infer_request("two", inputs=x, inputs_1=ids, lengths=LENGTHS)))
    (expected,), _ = reference.run(network.spec, arrays, (x, ids), LENGTHS.tolist())
    np.testing.assert_allclose(answer["outputs"], expected, rtol=1e-5, atol=2e-6)
