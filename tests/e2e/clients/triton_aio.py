"""tritonclient.grpc.aio: URL and the file of questions as arguments."""

import asyncio

import numpy as np
import tritonclient.grpc.aio as grpc
from scenarios import main
from triton_tensors import answer, failure, inputs_of
from tritonclient.utils import InferenceServerException


def many(url, questions):
    """Every held-out image in flight at once, and a request that fails among them."""

    async def ask():
        data = np.load(questions)
        async with grpc.InferenceServerClient(url) as client:
            good = [
                client.infer("digits", inputs_of(grpc, inputs=row[np.newaxis]), request_id=str(number))
                for number, row in enumerate(data["inputs"])
            ]
            bad = client.infer("digits", inputs_of(grpc, inputs=data["inputs"][:1, :, :5]))
            *answers, refused = await asyncio.gather(*good, bad, return_exceptions=True)
            assert isinstance(refused, InferenceServerException), refused
            return {
                "answers": [answer(each) for each in answers],
                "refused": failure(refused),
                "ready": await client.is_model_ready("digits"),
            }

    return asyncio.run(ask())


def stream(url, questions):
    """stream_infer: the rows of the held-out file as they come, replies by id."""

    async def ask():
        data = np.load(questions)

        async def requests():
            for number, row in enumerate(data["inputs"]):
                inputs = inputs_of(grpc, inputs=row[np.newaxis])
                yield {"model_name": "digits", "inputs": inputs, "request_id": str(number)}

        answers = {}
        async with grpc.InferenceServerClient(url) as client:
            async for result, error in client.stream_infer(requests()):
                assert error is None, error
                reply = answer(result)
                answers[reply["id"]] = reply["outputs"][0]
        return answers

    return asyncio.run(ask())


if __name__ == "__main__":
    main({"many": many, "stream": stream})
