"""Good calls of every kind, as paths and messages: what frames are damaged of."""

from __future__ import annotations

import numpy as np

from cellserve.service.pb import cellserve_pb2 as typed
from cellserve.service.pb import open_inference_pb2 as oip
from tests.fuzz.frame_cases import Call

_SERVICE = b"/inference.GRPCInferenceService/"
_SEQUENCES = b"/cellserve.v1.Sequences/"


def good_calls(model: str, width: int) -> list[Call]:
    """model: takes steps of `width` numbers."""
    steps = np.random.default_rng(5).normal(size=(1, 4, width)).astype(np.float32)
    infer = oip.ModelInferRequest(model_name=model, raw_input_contents=[steps.tobytes()])
    infer.inputs.add(name="inputs", datatype="FP32", shape=steps.shape)
    tensor = typed.Tensor(dtype=typed.FLOAT32, shape=steps.shape[1:], data=steps.tobytes())
    run = typed.RunRequest(model=model, lengths=[4], inputs=tensor)
    streamed = typed.StreamRequest(run=run).SerializeToString()
    inferred, ran = infer.SerializeToString(), run.SerializeToString()
    return [
        (_SERVICE + b"ModelInfer", (inferred,)),
        (_SERVICE + b"ModelStreamInfer", (inferred, inferred, inferred)),
        (_SERVICE + b"ServerLive", (b"",)),
        (_SERVICE + b"ModelMetadata", (oip.ModelMetadataRequest(name=model).SerializeToString(),)),
        (_SEQUENCES + b"Run", (ran,)),
        (_SEQUENCES + b"Stream", (streamed, streamed)),
        (b"/grpc.health.v1.Health/Check", (b"",)),
        (b"/grpc.health.v1.Health/Watch", (b"",)),
        (b"/no.Such/Method", (b"x",)),
    ]
