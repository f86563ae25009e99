"""Between a message's bytes and the engine's batch nothing is copied: every row that the engine is given is a view of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from cellserve.service.engine.asker import Asker
from cellserve.service.engine.sequence import Work
from cellserve.service.pb import cellserve_pb2 as typed
from cellserve.service.pb import open_inference_pb2 as pb
from tests.service.api.conftest import Harness

ROWS = np.arange(24, dtype=np.float32).reshape(2, 6, 2)


def padded() -> pb.ModelInferRequest:
    tensors = [("inputs", "FP32", ROWS), ("lengths", "INT64", np.array([4, 6]))]
    return pb.ModelInferRequest(
        model_name="sums",
        inputs=[pb.ModelInferRequest.InferInputTensor(name=name, datatype=kind, shape=a.shape) for name, kind, a in tensors],
        raw_input_contents=[array.tobytes() for _, _, array in tensors],
    )


def ragged() -> typed.RunRequest:
    return typed.RunRequest(model="sums", lengths=[4, 8], inputs=typed.Tensor(shape=(12, 2), data=ROWS.tobytes()))


def owner(array: Any) -> Any:
    """What holds the memory of a view."""
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array


@pytest.mark.parametrize("protocol", ["padded", "ragged"])
async def test_rows_are_views_of_the_message(harness: Harness, protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = works_of(harness, monkeypatch)
    await (harness.infer(padded()) if protocol == "padded" else harness.sequences.Run(ragged(), timeout=30))
    assert [len(work.inputs[0]) for work in taken] == [4, 6 if protocol == "padded" else 8]
    owners = [owner(work.inputs[0]) for work in taken]
    assert owners[0] is owners[1]
    assert owners[0] == ROWS.tobytes()


def works_of(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> list[Work]:
    """What the engine is given from now on."""
    taken: list[Work] = []
    submit_all = harness.engine.submit_all

    def recorded(works: Sequence[Work], asker: Asker) -> list[int]:
        taken.extend(works)
        return submit_all(works, asker)

    monkeypatch.setattr(harness.engine, "submit_all", recorded)
    return taken
