"""A model's configuration says what its metadata say, the batch left out."""

from __future__ import annotations

from typing import Any

import pytest

from cellserve.service.api.open_inference import metadata, model_config
from cellserve.service.api.requests.signature import Signature
from cellserve.service.engine.facts import VersionKey
from cellserve.service.pb import open_inference_pb2 as pb
from tests.service.api.conftest import Harness, loaded, network_of

LSTM = {"kind": "lstm", "name": "lstm", "inputs": ["x"], "units": 4, "return_sequences": True}
LAST = {"kind": "last_step", "name": "last", "inputs": ["lstm"]}
EMBED = {"kind": "embedding", "name": "embed", "inputs": ["x"], "vocabulary": 9, "units": 3}
SPECS = {
    "features": {"inputs": [{"name": "x", "width": 3}], "layers": [LSTM, LAST], "outputs": ["lstm", "last"]},
    "ids": {
        "inputs": [{"name": "x", "kind": "ids"}],
        "layers": [EMBED, LSTM | {"inputs": ["embed"]}],
        "outputs": ["lstm"],
    },
}
TYPES = {"FP32": pb.TYPE_FP32, "INT64": pb.TYPE_INT64}


def described(spec: dict[str, Any]) -> tuple[pb.ModelMetadataResponse, pb.ModelConfig]:
    version = loaded(VersionKey("m", 2), network_of(spec)[0])
    signature = Signature.of(version.spec, version.shapes, version.state_layout)
    return metadata.describe(version, signature, [2]), model_config.describe(version, signature, 16).config


@pytest.mark.parametrize("name", SPECS)
def test_tensors_are_those_of_the_metadata_without_the_batch(name: str) -> None:
    told, config = described(SPECS[name])
    assert config.max_batch_size == 16
    for ours, theirs in ((config.input, told.inputs), (config.output, told.outputs)):
        assert [(each.name, each.data_type) for each in ours] == [(each.name, TYPES[each.datatype]) for each in theirs]
        assert [[-1, *each.dims] for each in ours] == [list(each.shape) for each in theirs]
    assert {key: value.string_value for key, value in config.parameters.items()} == dict(told.properties)


def test_no_sequences_and_no_pipelines_are_promised() -> None:
    _, config = described(SPECS["features"])
    assert config.WhichOneof("scheduling_choice") == "dynamic_batching"
    assert not config.model_transaction_policy.decoupled
    assert not config.response_cache.enable
    assert (config.name, config.platform, config.backend) == ("m", "cellserve", "cellserve")
    assert config.runtime in config.parameters["implementations"].string_value
    assert list(config.version_policy.specific.versions) == [2]


async def test_it_is_served(harness: Harness) -> None:
    config = (await harness.open_inference.ModelConfig(pb.ModelConfigRequest(name="sums"))).config
    assert (config.name, [list(each.dims) for each in config.input]) == ("sums", [[-1, 2]])
    assert [list(each.dims) for each in config.output] == [[-1, 2], [2]]
    assert harness.catalog.leases == 0
