"""A whole server in this process, over a repository with one small published model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from cellserve.models.description.shapes import expected_weights
from cellserve.models.importers import ImportedModel, Source
from cellserve.models.spec import ModelSpec
from cellserve.models.weights import Weights
from cellserve.service.app import Running, serving
from cellserve.service.config import Settings
from cellserve.service.pb import cellserve_pb2_grpc, open_inference_pb2_grpc
from cellserve.service.pb import open_inference_pb2 as pb
from cellserve.service.registry.repository.repository import Repository
from tests.service.registry.fakes import measured_once

SPEC = ModelSpec.model_validate(
    {
        "inputs": [{"name": "x", "width": 3}],
        "layers": [{"kind": "lstm", "name": "lstm", "inputs": ["x"], "units": 4}],
        "outputs": ["lstm"],
    }
)
ARRAYS = {
    name: np.random.default_rng(1).normal(0.0, 0.3, shape).astype(np.float32) for name, shape in expected_weights(SPEC).items()
}


@dataclass
class Served:
    running: Running
    channel: grpc.aio.Channel

    @property
    def open_inference(self) -> Any:
        return open_inference_pb2_grpc.GRPCInferenceServiceStub(self.channel)

    @property
    def sequences(self) -> Any:
        return cellserve_pb2_grpc.SequencesStub(self.channel)


def publish(root: Path, model: str = "small", alias: str | None = None) -> None:
    source = Source("keras", "3.0", "small.keras", f"sha256:{'0' * 64}")
    Repository(root, gate=measured_once).publish(model, ImportedModel(SPEC, Weights.of(ARRAYS), source), alias=alias)


def infer_request(inputs: np.ndarray, model: str = "small", request_id: str = "") -> pb.ModelInferRequest:
    """inputs: [rows, time, 3] float32."""
    request = pb.ModelInferRequest(model_name=model, id=request_id, raw_input_contents=[inputs.tobytes()])
    request.inputs.add(name="inputs", datatype="FP32", shape=inputs.shape)
    return request


@asynccontextmanager
async def served(root: Path, **settings: Any) -> AsyncIterator[Served]:
    """On ports of its own choice; `settings` as in Settings."""
    chosen = Settings(repository=root, host="127.0.0.1", port=0, metrics_port=0, **settings)
    async with serving(chosen) as running, grpc.aio.insecure_channel(f"127.0.0.1:{running.port}") as channel:
        yield Served(running, channel)
