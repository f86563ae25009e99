"""NumPy arrays to tritonclient's inputs and back, and its errors as plain values."""

import numpy as np
from tritonclient.utils import np_to_triton_dtype


def inputs_of(grpc, **arrays):
    """grpc: tritonclient.grpc, or its aio module. `lengths` may be among the arrays."""
    inputs = []
    for name, array in arrays.items():
        given = grpc.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        given.set_data_from_numpy(np.ascontiguousarray(array))
        inputs.append(given)
    return inputs


def answer(result):
    """The first output as lists, with what the reply says beside it."""
    response = result.get_response()
    parameters = {name: getattr(value, value.WhichOneof("parameter_choice")) for name, value in response.parameters.items()}
    return {
        "id": response.id,
        "version": response.model_version,
        "outputs": result.as_numpy("outputs").tolist(),
        "parameters": parameters,
    }


def failure(error):
    return {"status": error.status(), "message": error.message()}
