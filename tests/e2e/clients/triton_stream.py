"""tritonclient.grpc's stream: many requests in flight on one, errors among them. URL and the file of questions as arguments."""

import queue

import numpy as np
import tritonclient.grpc as grpc
from scenarios import main
from triton_tensors import answer, failure, inputs_of

IN_FLIGHT = 128


class Stream:
    """One stream; replies are kept in the order of their arrival."""

    def __init__(self, client):
        self._client = client
        self._replies = queue.Queue()
        client.start_stream(callback=lambda result, error: self._replies.put((result, error)))

    def send(self, request_id, **arrays):
        self._client.async_stream_infer("digits", inputs_of(grpc, **arrays), request_id=request_id)

    def next(self):
        result, error = self._replies.get(timeout=60)
        return {"error": failure(error)} if error else answer(result)

    def close(self):
        self._client.stop_stream()


def many(url, questions, count):
    """`count` requests on one stream, full-length and cut rows by turns, at most IN_FLIGHT unanswered: answers by id."""
    data, count = np.load(questions), int(count)
    stream, answers = Stream(grpc.InferenceServerClient(url)), {}

    def take():
        reply = stream.next()
        answers[reply["id"]] = reply["outputs"][0]

    for number in range(count):
        if number >= IN_FLIGHT:
            take()
        row = number // 2
        if number % 2:
            length = data["cut_lengths"][row % 200]
            stream.send(str(number), inputs=data["cut_inputs"][row % 200][np.newaxis, :length])
        else:
            stream.send(str(number), inputs=data["inputs"][row % 400][np.newaxis])
    while len(answers) < count:
        take()
    stream.close()
    return answers


def errors_among_good(url, questions):
    """Good, bad, good, bad, good: sent together; the stream stays up for one more afterwards."""
    data = np.load(questions)
    good = data["inputs"][:1]
    stream = Stream(grpc.InferenceServerClient(url))
    for request_id, inputs in {"0": good, "1": good[..., :5], "2": good, "3": good[0], "4": good}.items():
        stream.send(request_id, inputs=inputs)
    replies = [stream.next() for _ in range(5)]
    stream.send("5", inputs=good)
    replies.append(stream.next())
    stream.close()
    return replies


if __name__ == "__main__":
    main({"many": many, "errors_among_good": errors_among_good})
