"""tritonclient.grpc, one request at a time or many by callback: URL and the file of questions as arguments."""

import threading

import numpy as np
import tritonclient.grpc as grpc
from scenarios import main
from triton_tensors import answer, failure, inputs_of
from tritonclient.utils import InferenceServerException

IN_FLIGHT = 64


def sync(url, questions):
    data, client = np.load(questions), grpc.InferenceServerClient(url)
    return [
        answer(client.infer("digits", inputs_of(grpc, inputs=data["inputs"][row : row + 1]), request_id=f"row-{row}"))
        for row in range(20)
    ]


def lengths_in_one_batch(url, questions):
    """Every model, rows of different lengths side by side."""
    data, client = np.load(questions), grpc.InferenceServerClient(url)
    answers = {}
    for model in ("words", "both_ways", "steps"):
        inputs = inputs_of(grpc, inputs=data[model], lengths=data[f"{model}_lengths"])
        answers[model] = answer(client.infer(model, inputs))
    inputs = inputs_of(grpc, inputs=data["cut_inputs"], lengths=data["cut_lengths"])
    answers["digits"] = answer(client.infer("digits", inputs))
    return answers


def forced_implementations(url, questions):
    data, client = np.load(questions), grpc.InferenceServerClient(url)
    inputs = inputs_of(grpc, inputs=data["inputs"][:8])
    return [answer(client.infer("digits", inputs, parameters={"implementation": label})) for label in ("0", "1", "2", "fused")]


def states(url, questions):
    """A row in two halves, its states carried by the client, beside the row in one piece."""
    data, client = np.load(questions), grpc.InferenceServerClient(url)
    row = data["inputs"][:1]
    metadata = client.get_model_metadata("digits")
    first = client.infer("digits", inputs_of(grpc, inputs=row[:, :3]), parameters={"return_state": True})
    names = [output.name for output in first.get_response().outputs if output.name.startswith("state.")]
    carried = {name: first.as_numpy(name) for name in names}
    second = client.infer("digits", inputs_of(grpc, inputs=row[:, 3:], **carried))
    return {"states": names, "outputs": answer(second)["outputs"], "metadata_inputs": [given.name for given in metadata.inputs]}


def by_callback(url, questions):
    """async_infer with a callback, IN_FLIGHT at once."""
    data, client = np.load(questions), grpc.InferenceServerClient(url)
    rows = len(data["inputs"])
    outcomes, done, gate = {}, threading.Event(), threading.Semaphore(IN_FLIGHT)

    def take(row, result, error):
        outcomes[row] = failure(error) if error else answer(result)
        gate.release()
        if len(outcomes) == rows:
            done.set()

    for row in range(rows):
        gate.acquire()
        inputs = inputs_of(grpc, inputs=data["inputs"][row : row + 1])
        client.async_infer("digits", inputs, lambda result, error, row=row: take(row, result, error), request_id=str(row))
    done.wait(120)
    return [outcomes[row] for row in range(rows)]


def errors(url, questions):
    """Each wrong in its own way, then one that is right, on the same client."""
    data, client = np.load(questions), grpc.InferenceServerClient(url)
    good = data["inputs"][:1]
    broken = np.where(np.arange(8) == 3, np.float32("nan"), good)
    wrong = {
        "unknown model": lambda: client.infer("nobody", inputs_of(grpc, inputs=good)),
        "unknown version": lambda: client.infer("digits", inputs_of(grpc, inputs=good), model_version="99"),
        "width": lambda: client.infer("digits", inputs_of(grpc, inputs=good[..., :5])),
        "rank": lambda: client.infer("digits", inputs_of(grpc, inputs=good[0])),
        "datatype": lambda: client.infer("digits", inputs_of(grpc, inputs=good.astype(np.int32))),
        "nan": lambda: client.infer("digits", inputs_of(grpc, inputs=broken)),
        "unknown input": lambda: client.infer("digits", inputs_of(grpc, images=good)),
        "unknown output": lambda: client.infer(
            "digits", inputs_of(grpc, inputs=good), outputs=[grpc.InferRequestedOutput("labels")]
        ),
        "length": lambda: client.infer("digits", inputs_of(grpc, inputs=good, lengths=np.array([9]))),
        "id": lambda: client.infer("words", inputs_of(grpc, inputs=np.array([[1, 20]]))),
        "implementation": lambda: client.infer("digits", inputs_of(grpc, inputs=good), parameters={"implementation": "fastest"}),
        "classification": lambda: client.infer(
            "digits", inputs_of(grpc, inputs=good), outputs=[grpc.InferRequestedOutput("outputs", class_count=3)]
        ),
    }
    outcomes = {}
    for name, ask in wrong.items():
        try:
            outcomes[name] = answer(ask())
        except InferenceServerException as error:
            outcomes[name] = failure(error)
    outcomes["good"] = answer(client.infer("digits", inputs_of(grpc, inputs=good)))
    return outcomes


def time_outs(url, questions):
    """A queue time-out in microseconds, and a client time-out, on a request far too long for either; then a good request."""
    data, client = np.load(questions), grpc.InferenceServerClient(url)
    long = inputs_of(grpc, inputs=np.zeros((1, 200_000, 3), np.float32))
    outcomes = []
    for limit in ({"timeout": 200_000}, {"client_timeout": 0.2}):
        try:
            outcomes.append(answer(client.infer("steps", long, parameters={"implementation": "1"}, **limit)))
        except InferenceServerException as error:
            outcomes.append(failure(error))
    outcomes.append(answer(client.infer("digits", inputs_of(grpc, inputs=data["inputs"][:1]), client_timeout=60)))
    return outcomes


if __name__ == "__main__":
    main(
        {
            each.__name__: each
            for each in (sync, lengths_in_one_batch, forced_implementations, states, by_callback, errors, time_outs)
        }
    )
