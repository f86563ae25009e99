"""The id in a reply is the id in the log, for every line that is written while the request is served."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from cellserve.service import logs
from tests.service.api.conftest import Harness, infer_request

log = logging.getLogger("cellserve.tests")
GOOD = np.ones((1, 2, 2), np.float32)


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    root, ours = logging.getLogger(), logging.getLogger(logs.ROOT)
    handlers, level, our_level = list(root.handlers), root.level, ours.level
    stream = io.StringIO()
    logs.configure("debug", "json", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    ours.setLevel(our_level)


def lines(written: io.StringIO, message: str) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in written.getvalue().splitlines()]
    return [event for event in events if message in event["message"]]


def note_each_acquire(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    acquire = harness.catalog.acquire

    async def noted(model: str, *version_and_key: Any) -> Any:
        log.info("acquiring %s", model)
        return await acquire(model, *version_and_key)

    monkeypatch.setattr(harness.catalog, "acquire", noted)


async def test_a_line_written_on_the_way_names_the_call(
    harness: Harness, written: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    note_each_acquire(harness, monkeypatch)
    ids = []
    for _ in range(3):
        call = harness.open_inference.ModelInfer(infer_request("sums", inputs=GOOD))
        await call
        ids.append(dict(tuple(await call.trailing_metadata()))["cellserve-request-id"])
    assert [event["request_id"] for event in lines(written, "acquiring")] == ids
    assert len(set(ids)) == 3


async def test_on_a_stream_each_request_has_its_own(
    harness: Harness, written: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    note_each_acquire(harness, monkeypatch)
    requests = [infer_request(model, inputs=GOOD) for model in ("sums", "nobody", "sums")]
    replies = [reply async for reply in harness.open_inference.ModelStreamInfer(iter(requests))]
    told = {reply.infer_response.parameters["request_id"].string_param for reply in replies}
    assert {event["request_id"] for event in lines(written, "acquiring")} == told
    assert len(told) == 3


async def test_a_failure_of_the_servers_own_is_found_by_its_id(harness: Harness, written: io.StringIO) -> None:
    harness.catalog.failure = RuntimeError("secret")
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await harness.infer(infer_request("sums", inputs=GOOD))
    request_id = dict(tuple(failed.value.trailing_metadata()))["cellserve-request-id"]
    (event,) = [event for event in lines(written, "failed") if event["level"] == "error"]
    assert event["request_id"] == request_id
    assert "secret" in event["traceback"]
    assert "secret" not in (failed.value.details() or "")
