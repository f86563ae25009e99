"""tritonclient with live sequences, in calls, by callbacks and on streams: URL and the file of questions as arguments.

Each row of `live` is a sequence of the model `steps`, fed in PIECES; replies are told in the order of the pieces.
"""

import asyncio
import itertools
import queue
import threading

import numpy as np
import tritonclient.grpc as grpc
import tritonclient.grpc.aio as aio
from grpc import insecure_channel
from scenarios import main
from triton_tensors import answer, failure, inputs_of
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

MODEL = "steps"
PIECES = (1, 2, 1, 4, 3, 1)
WAIT_SECONDS = 60


def pieces(row):
    """[T, F] → what each request of its sequence gives: inputs, start, end."""
    ends = list(itertools.accumulate(PIECES))
    for start, end in zip([0, *ends], ends):
        flags = {"sequence_start": start == 0, "sequence_end": end == len(row)}
        yield inputs_of(grpc, inputs=row[np.newaxis, start:end]), flags


def named(questions, kind):
    """The first rows by id, ids of the kind asked for."""
    rows = np.load(questions)["live"]
    return {number if kind == "int64" else f"user/{number} ü": row for number, row in enumerate(rows, 7)}


def by_calls(url, questions, kind):
    """Piece by piece, the sequences by turns, each piece from another connection than the one before."""
    clients = itertools.cycle([grpc.InferenceServerClient(url), grpc.InferenceServerClient(url)])
    rows = named(questions, kind)
    replies = [[] for _ in rows]
    for round_ in zip(*map(pieces, rows.values())):
        for sequence_id, (inputs, flags), told in zip(rows, round_, replies):
            told.append(answer(next(clients).infer(MODEL, inputs, sequence_id=sequence_id, **flags)))
    return replies


def by_callbacks(url, questions):
    """async_infer: one piece of every sequence in flight, the next one sent from the callback of the one before."""
    client, rows = grpc.InferenceServerClient(url), named(questions, "int64")
    replies, done = [[] for _ in rows], threading.Semaphore(0)

    def send(sequence_id, waiting, told):
        following = next(waiting, None)
        if following is None:
            done.release()
            return
        inputs, flags = following

        def take(result, error):
            told.append(failure(error) if error else answer(result))
            send(sequence_id, waiting, told)

        client.async_infer(MODEL, inputs, take, sequence_id=sequence_id, **flags)

    for (sequence_id, row), told in zip(rows.items(), replies):
        send(sequence_id, pieces(row), told)
    for _ in rows:
        if not done.acquire(timeout=WAIT_SECONDS):
            raise TimeoutError("not every sequence came to its end")
    return replies


def on_one_stream(url, questions, kind):
    """Every piece of every sequence sent at once, by turns, without waiting for any reply."""
    client, rows, arrived = grpc.InferenceServerClient(url), named(questions, kind), queue.Queue()
    client.start_stream(callback=lambda result, error: arrived.put((result, error)))
    for piece, round_ in enumerate(zip(*map(pieces, rows.values()))):
        for place, (sequence_id, (inputs, flags)) in enumerate(zip(rows, round_)):
            client.async_stream_infer(MODEL, inputs, sequence_id=sequence_id, request_id=f"{place}/{piece}", **flags)
    replies = [[None] * len(PIECES) for _ in rows]
    for _ in range(len(rows) * len(PIECES)):
        result, error = arrived.get(timeout=WAIT_SECONDS)
        if error:
            raise error
        told = answer(result)
        place, piece = map(int, told["id"].split("/"))
        replies[place][piece] = told
    client.stop_stream()
    return replies


def on_one_aio_stream(url, questions):
    async def ask():
        rows = named(questions, "int64")

        async def requests():
            for piece, round_ in enumerate(zip(*map(pieces, rows.values()))):
                for place, (sequence_id, (inputs, flags)) in enumerate(zip(rows, round_)):
                    request = {"model_name": MODEL, "inputs": inputs, "request_id": f"{place}/{piece}"}
                    yield request | {"sequence_id": sequence_id} | flags

        replies = [[None] * len(PIECES) for _ in rows]
        async with aio.InferenceServerClient(url) as client:
            async for result, error in client.stream_infer(requests()):
                assert error is None, error
                told = answer(result)
                place, piece = map(int, told["id"].split("/"))
                replies[place][piece] = told
        return replies

    return asyncio.run(ask())


def ids_of_words(url, questions):
    """A model that starts with an embedding and answers with one vector: the answer for the prefix, one id at a time."""
    client, row = grpc.InferenceServerClient(url), np.load(questions)["words"][0]
    return [
        answer(client.infer("words", inputs_of(grpc, inputs=row[np.newaxis, at : at + 1]), sequence_id=1, sequence_start=at == 0))
        for at in range(len(row))
    ]


def started_twice(url, questions):
    """A start on a live id, then the rest: replies from the second start on."""
    client, (first, second) = grpc.InferenceServerClient(url), np.load(questions)["live"][:2]
    for inputs, flags in list(pieces(first))[:3]:
        client.infer(MODEL, inputs, sequence_id="twice", **flags)
    return [answer(client.infer(MODEL, inputs, sequence_id="twice", **flags)) for inputs, flags in pieces(second)]


def applied_once(url, questions):
    """Every request sent twice with its position, as a client that does not know whether the first one came through."""
    client, row = grpc.InferenceServerClient(url), np.load(questions)["live"][0]
    replies, position = [], 0
    for (inputs, flags), steps in zip(pieces(row), PIECES):
        ask = {"sequence_id": 5, "parameters": {"position": position}} | flags
        first, again = (answer(client.infer(MODEL, inputs, **ask)) for _ in range(2))
        assert first["outputs"] == again["outputs"]
        replies.append(again)
        position += steps
    return replies


def named_by_the_server(url, questions):
    """sequence_start alone, which only tritonclient's generated stub can send; then by the id that the reply told."""
    row = np.load(questions)["live"][0]
    told = {}
    with insecure_channel(url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for kind, nameless in (("int64_param", 0), ("string_param", "")):
            replies, sequence_id = [], nameless
            for inputs, flags in pieces(row):
                (given,) = inputs
                request = service_pb2.ModelInferRequest(model_name=MODEL, raw_input_contents=[given._get_content()])
                request.inputs.append(given._get_tensor())
                setattr(request.parameters["sequence_id"], kind, sequence_id)
                for name, flag in flags.items():
                    request.parameters[name].bool_param = flag
                reply = stub.ModelInfer(request, timeout=WAIT_SECONDS)
                sequence_id = getattr(reply.parameters["sequence_id"], kind)
                replies.append(answer(grpc.InferResult(reply)))
            told[kind] = replies
    return told


def errors(url, questions):
    """Each wrong in its own way, by a call and on a stream; then one that is right, on the same stream."""
    client, arrived = grpc.InferenceServerClient(url), queue.Queue()
    row = np.load(questions)["live"][0]
    one = inputs_of(grpc, inputs=row[np.newaxis, :1])
    client.infer(MODEL, one, sequence_id=100, sequence_start=True)
    client.infer(MODEL, one, sequence_id=101, sequence_start=True, sequence_end=True)
    epoch = answer(client.infer(MODEL, one, sequence_id=102, sequence_start=True))["parameters"]["epoch"]
    wrong = {
        "unknown": {"sequence_id": 99},
        "unknown by text": {"sequence_id": "nobody"},
        "unknown at its end": {"sequence_id": 99, "sequence_end": True},
        "after its end": {"sequence_id": 101},
        "of another model": {"model_name": "words", "inputs": inputs_of(grpc, inputs=np.array([[1]])), "sequence_id": 100},
        "of no life known": {"sequence_id": 98, "parameters": {"epoch": "0" * len(epoch), "position": 3}},
        "at another position": {"sequence_id": 100, "parameters": {"position": 5}},
        "in two rows": {"sequence_id": 100, "inputs": inputs_of(grpc, inputs=row[np.newaxis, :1].repeat(2, axis=0))},
        "nan": {"sequence_id": 100, "inputs": inputs_of(grpc, inputs=np.full((1, 1, 3), np.nan, np.float32))},
        "with a state": {"sequence_id": 100, "inputs": [*one, *inputs_of(grpc, **{"state.0.h": np.ones((1, 6), np.float32)})]},
        "named at length": {"sequence_id": "x" * 300, "sequence_start": True},
        "looking ahead": {
            "model_name": "both_ways",
            "inputs": inputs_of(grpc, inputs=np.ones((1, 2, 4), np.float32)),
            "sequence_id": 1,
            "sequence_start": True,
        },
    }
    client.start_stream(callback=lambda result, error: arrived.put((result, error)))
    outcomes = {}
    for name, ask in wrong.items():
        asked = {"model_name": MODEL, "inputs": one} | ask
        client.async_stream_infer(**asked)
        _, streamed = arrived.get(timeout=WAIT_SECONDS)
        try:
            outcomes[name] = answer(client.infer(**asked))
        except InferenceServerException as error:
            outcomes[name] = failure(error) | {"streamed": streamed and streamed.message()}
    client.async_stream_infer(MODEL, inputs_of(grpc, inputs=row[np.newaxis, 1:2]), sequence_id=100, sequence_end=True)
    result, error = arrived.get(timeout=WAIT_SECONDS)
    outcomes["good"] = failure(error) if error else answer(result)
    client.stop_stream()
    return outcomes


if __name__ == "__main__":
    main(
        {
            each.__name__: each
            for each in (
                by_calls,
                by_callbacks,
                on_one_stream,
                on_one_aio_stream,
                ids_of_words,
                started_twice,
                applied_once,
                named_by_the_server,
                errors,
            )
        }
    )
