"""A version described as a Triton model configuration: the part that clients read. Says the same as its metadata."""

from __future__ import annotations

from typing import Final

from cellserve.service.api.open_inference.metadata import PLATFORM, properties
from cellserve.service.api.requests.signature import InputSignature, OutputSignature, Signature
from cellserve.service.pb import open_inference_pb2 as pb
from cellserve.service.registry.lease import LoadedVersion

_NO_DIMENSION: Final = 1  # for an output that is one number a row: a configuration has no tensor without dimensions


def describe(
    version: LoadedVersion, signature: Signature, max_rows: int, sequence_idle_seconds: float | None = None
) -> pb.ModelConfigResponse:
    """max_rows: of one request. Dimensions leave the batch out, as max_batch_size asks for it.

    sequence_idle_seconds: for a model that asks its clients for sequences, how long one may be idle (0: for ever); else None.
    """
    config = pb.ModelConfig(
        name=version.key.model,
        platform=PLATFORM,
        backend=PLATFORM,
        runtime=version.default_implementation,
        max_batch_size=max_rows,
        version_policy=pb.ModelVersionPolicy(specific=pb.ModelVersionPolicy.Specific(versions=[version.key.version])),
        input=[_input(given) for given in signature.inputs],
        output=[_output(output) for output in signature.outputs],
        model_transaction_policy=pb.ModelTransactionPolicy(decoupled=False),
        response_cache=pb.ModelResponseCache(enable=False),
    )
    if sequence_idle_seconds is None:
        config.dynamic_batching.SetInParent()
    else:
        config.sequence_batching.max_sequence_idle_microseconds = round(sequence_idle_seconds * 1e6)
        config.sequence_batching.SetInParent()
    for name, value in properties(version, signature).items():
        config.parameters[name].string_value = value
    return pb.ModelConfigResponse(config=config)


def _input(given: InputSignature) -> pb.ModelInput:
    data_type = pb.TYPE_INT64 if given.kind == "ids" else pb.TYPE_FP32
    return pb.ModelInput(name=given.name, data_type=data_type, dims=given.shape[1:], allow_ragged_batch=given.kind != "vector")


def _output(output: OutputSignature) -> pb.ModelOutput:
    return pb.ModelOutput(name=output.name, data_type=pb.TYPE_FP32, dims=output.shape[1:] or (_NO_DIMENSION,))
