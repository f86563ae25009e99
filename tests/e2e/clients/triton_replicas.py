"""tritonclient feeding sequences one unary call after the other, and never again: URL as argument.

Each sequence is started, fed and ended with calls of its own, all sequences at once on threads. What fails is told and not tried
again; steps are made from a seed, so that whoever checks the answers can make them too.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import tritonclient.grpc as grpc
from scenarios import main
from triton_tensors import inputs_of

MODEL = "small"
FEATURES = 3


def steps_of(seed, feeds):
    return np.random.default_rng(seed).normal(size=(feeds, 1, 1, FEATURES)).astype(np.float32)


def one(client, feeds, pause_seconds, seed):
    told, seconds = [], []
    for number, step in enumerate(steps_of(seed, feeds)):
        flags = {"sequence_start": number == 0, "sequence_end": number == feeds - 1}
        began = time.monotonic()
        try:
            result = client.infer(MODEL, inputs_of(grpc, inputs=step), sequence_id=seed, **flags)
            told.append(result.as_numpy("outputs").reshape(-1).tolist())
        except Exception as error:  # whatever it is, the test shows it
            told.append(f"{type(error).__name__}: {error}")
        seconds.append(time.monotonic() - began)
        time.sleep(pause_seconds)
    return {"seed": seed, "answers": told, "seconds": seconds}


def walk(url, first_seed, sequences, feeds, pause_seconds):
    client = grpc.InferenceServerClient(url)
    seeds = range(int(first_seed), int(first_seed) + int(sequences))
    with ThreadPoolExecutor(int(sequences)) as pool:
        return list(pool.map(partial(one, client, int(feeds), float(pause_seconds)), seeds))


if __name__ == "__main__":
    main({"walk": walk})
