"""A version described to clients of the Open Inference Protocol: tensors, and properties for all that it has no field for."""

from __future__ import annotations

from collections.abc import Sequence

from cellserve.service.api.requests.signature import STATE_PREFIX, Signature
from cellserve.service.pb import open_inference_pb2 as pb
from cellserve.service.registry.lease import LoadedVersion

PLATFORM = "cellserve"


def describe(version: LoadedVersion, signature: Signature, versions: Sequence[int]) -> pb.ModelMetadataResponse:
    """versions: every published one of the model; the one described comes first in the reply."""
    others = [number for number in versions if number != version.key.version]
    return pb.ModelMetadataResponse(
        name=version.key.model,
        versions=[str(number) for number in (version.key.version, *others)],
        platform=PLATFORM,
        inputs=[
            pb.ModelMetadataResponse.TensorMetadata(
                name=given.name, datatype="INT64" if given.kind == "ids" else "FP32", shape=given.shape
            )
            for given in signature.inputs
        ],
        outputs=[
            pb.ModelMetadataResponse.TensorMetadata(name=output.name, datatype="FP32", shape=output.shape)
            for output in signature.outputs
        ],
        properties=properties(version, signature),
    )


def properties(version: LoadedVersion, signature: Signature) -> dict[str, str]:
    """Words for the keys listed in proto/open_inference.proto."""
    manifest = version.manifest
    offered = [label for label, obstacle in version.implementations.items() if obstacle is None]
    refused = {label: obstacle for label, obstacle in version.implementations.items() if obstacle is not None}
    return {
        "causal": "true" if version.causal else "false",
        "digest": manifest.weights_digest,
        "framework": f"{manifest.source.framework} {manifest.source.version}".strip(),
        "optional_inputs": ", ".join(signature.optional_inputs()),
        "states": ", ".join(f"{STATE_PREFIX}{key} [{columns.width}]" for key, columns in signature.states.items()),
        "implementations": ", ".join(offered),
        "default_implementation": version.default_implementation,
        **{f"unsupported_implementation.{label}": obstacle for label, obstacle in refused.items()},
    }
