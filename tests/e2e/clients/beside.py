"""cellserve's client and tritonclient in one process. URL and the file of questions as arguments."""

import asyncio
import importlib.metadata
import importlib.util
import sys

import numpy as np
import tritonclient.grpc as grpc
from scenarios import main
from triton_tensors import inputs_of

from cellserve.service.client import AsyncClient, Client, ServiceError


def both(url, questions):
    """Each by turns asks for the same rows, then ours asks asynchronously, then for what is not there."""
    data = np.load(questions)
    rows = [row[:length] for row, length in zip(data["cut_inputs"][:20], data["cut_lengths"])]
    ours, theirs = [], []
    triton = grpc.InferenceServerClient(url)
    with Client(url) as client:
        for row in rows:
            ours.append(client.predict("digits", row).tolist())
            theirs.append(triton.infer("digits", inputs_of(grpc, inputs=row[np.newaxis])).as_numpy("outputs")[0].tolist())
        ragged = [answer.tolist() for answer in client.predict("digits", rows)]
        try:
            refusal = client.predict("nobody", rows[0])
        except ServiceError as error:
            refusal = error.reason

    async def ask():
        async with AsyncClient(url) as client:
            return [answer.tolist() for answer in await asyncio.gather(*(client.predict("digits", row) for row in rows))]

    return {"ours": ours, "theirs": theirs, "ragged": ragged, "async": asyncio.run(ask()), "refusal": refusal}


def installed(url, questions):
    """What a plain install brought, and what importing the client loaded."""
    names = ("torch", "h5py", "prometheus_client", "safetensors", "grpc_health")
    loaded = sorted(name for name in sys.modules if name.split(".")[0] in names or name.endswith(".open_inference_pb2"))
    found = [name for name in names if importlib.util.find_spec(name) is not None]
    versions = {name: importlib.metadata.version(name) for name in ("cellserve", "tritonclient", "grpcio", "protobuf")}
    return {"loaded": loaded, "found": found, "versions": versions}


if __name__ == "__main__":
    main({"both": both, "installed": installed})
