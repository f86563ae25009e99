"""The error table: complete, and told in full."""

from __future__ import annotations

import re
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from cellserve.service import errors
from cellserve.service.api.status import CODES, status_of

ALL = sorted(
    (each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.ServiceError)),
    key=lambda each: each.__name__,
)


def unpacked(details: bytes, kind: type) -> list:
    status = status_pb2.Status.FromString(details)
    found = []
    for detail in status.details:
        message = kind()
        if detail.Unpack(message):
            found.append(message)
    return found


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_has_a_status_and_tells_its_reason(kind: type[errors.ServiceError]) -> None:
    status = status_of(kind("what happened", field="a.b", retry_after_seconds=1.5), "0a1b2c3d-000001")
    assert status.code is CODES[kind.reason]
    assert status.message == f"[{kind.reason}] what happened"
    assert status_pb2.Status.FromString(status.details).code == status.code.value[0]
    (info,) = unpacked(status.details, error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain, info.metadata["request_id"]) == (kind.reason, "cellserve", "0a1b2c3d-000001")
    (bad,) = unpacked(status.details, error_details_pb2.BadRequest)
    assert bad.field_violations[0].field == "a.b"
    (retry,) = unpacked(status.details, error_details_pb2.RetryInfo)
    assert retry.retry_delay.ToTimedelta().total_seconds() == 1.5


def test_the_table_has_no_reason_that_no_error_has() -> None:
    assert set(CODES) == {kind.reason for kind in ALL}


def test_only_what_may_pass_with_time_carries_a_hint() -> None:
    hinted = {
        kind.reason for kind in ALL if unpacked(status_of(kind("x"), "0a1b2c3d-000001").details, error_details_pb2.RetryInfo)
    }
    assert hinted == {"OVERLOADED", "DRAINING", "STORE_UNAVAILABLE", "REPOSITORY_AWAY", "UPLOAD_BUSY"}


def test_no_status_is_ok_or_unknown() -> None:
    assert not {grpc.StatusCode.OK, grpc.StatusCode.UNKNOWN} & set(CODES.values())


def test_the_documentation_lists_every_reason_with_its_status() -> None:
    text = (Path(__file__).parents[3] / "docs" / "errors.md").read_text()
    listed = dict(re.findall(r"^\| `([A-Z_]+)` \| ([A-Z_]+) \|", text, re.MULTILINE))
    assert listed == {reason: code.name for reason, code in CODES.items()}


def test_errors_that_are_alike_differ_in_the_ids_of_their_requests() -> None:
    error = errors.Overloaded("come again", retry_after_seconds=0.5, metadata={"cause": "loop"})
    first, second = (status_of(error, request_id) for request_id in ("0a1b2c3d-000001", "0a1b2c3d-1000002"))
    assert first.message == second.message
    for status, request_id in ((first, "0a1b2c3d-000001"), (second, "0a1b2c3d-1000002")):
        (info,) = unpacked(status.details, error_details_pb2.ErrorInfo)
        assert dict(info.metadata) == {"cause": "loop", "request_id": request_id}
