"""The audit log: who did what to the server, at any level of the log, and nothing of what they sent."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from cellserve.service import logs
from cellserve.service.api.access.audit import audit
from cellserve.service.app import serving
from cellserve.service.client import AsyncClient, RetryPolicy, ServiceError
from cellserve.service.config import Settings
from cellserve.service.pb import open_inference_pb2 as pb
from cellserve.service.pb import open_inference_pb2_grpc
from tests.service.served import publish

OPERATOR, SHOP = "operator-0123456789", "the-shop-0123456789"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root, loggers = logging.getLogger(), [logging.getLogger(name) for name in (logs.ROOT, logs.AUDIT)]
    before = (list(root.handlers), root.level, [each.level for each in loggers])
    stream = io.StringIO()
    logs.configure("error", "json", stream)
    yield stream
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    for each, level in zip(loggers, before[2]):
        each.setLevel(level)


def told(stream: io.StringIO) -> list[dict[str, str]]:
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [event for event in events if event["logger"] == logs.AUDIT]


async def test_what_is_administered_is_told_with_who_did_it_and_how_it_ended(tmp_path: Path, stream: io.StringIO) -> None:
    publish(tmp_path / "models", alias="stable")
    publish(tmp_path / "models")
    tokens = tmp_path / "tokens"
    tokens.write_text(f"admin {OPERATOR} the operators\ninfer {SHOP} the web shop\n")
    settings = Settings(repository=tmp_path / "models", host="127.0.0.1", port=0, metrics_port=0, tokens=tokens)
    async with serving(settings) as running:
        url = f"127.0.0.1:{running.port}"
        async with (
            AsyncClient(url, token=OPERATOR) as operator,
            AsyncClient(url, token=SHOP, retry=RetryPolicy(attempts=1)) as shop,
        ):
            await operator.promote("small", 2)
            with pytest.raises(ServiceError):
                await operator.promote("small", 7)
            for _ in range(3):
                with pytest.raises(ServiceError):
                    await shop.promote("small", 1)
        async with grpc.aio.insecure_channel(url) as channel:
            stub = open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
            request = pb.RepositoryModelUnloadRequest(model_name="small\nforged")
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.RepositoryModelUnload(request, metadata=[("authorization", f"Bearer {OPERATOR}")])
    done, failed, denied, unloaded = told(stream)
    assert (done["method"], done["subject"], done["outcome"]) == ("SetAlias", "small@stable to 2", "OK")
    assert done["by"].startswith("the operators (ipv4:127.0.0.1:")
    assert done["request_id"]
    assert failed["outcome"] == "NOT_FOUND"
    assert (denied["outcome"], denied["by"].partition(" (")[0]) == ("PERMISSION_DENIED", "the web shop")
    assert unloaded["method"] == "RepositoryModelUnload"
    assert "forged" not in unloaded["message"].splitlines()
    assert OPERATOR not in stream.getvalue()
    assert SHOP not in stream.getvalue()


def test_without_tokens_it_tells_where_a_call_came_from(stream: io.StringIO) -> None:
    audit("RepositoryModelLoad", "ipv4:10.0.0.1:7", None, "digits", "OK")
    (event,) = told(stream)
    assert event["message"] == "RepositoryModelLoad of digits by ipv4:10.0.0.1:7: OK"


def test_an_unknown_token_is_nobodys(stream: io.StringIO) -> None:
    audit("List", "ipv4:10.0.0.1:7", "", "", "UNAUTHENTICATED")
    assert told(stream)[0]["message"] == "List by nobody who is known (ipv4:10.0.0.1:7): UNAUTHENTICATED"
