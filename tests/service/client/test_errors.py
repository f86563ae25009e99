"""What a failed call becomes, in both clients."""

from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import pytest

from cellserve.service import errors
from cellserve.service.api.status import CODES, DETAILS_KEY, ErrorStatus, status_of
from cellserve.service.client import AccessDenied, AsyncClient, BadReply, CallFailed, Client, MessageTooLarge, MethodMissing
from cellserve.service.client.errors import mirrored
from cellserve.service.client.tensors import to_wire
from cellserve.service.pb import cellserve_pb2 as pb
from tests.service.client.fake_sequences import Ask, FakeSequences, Refusal, sequence


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.NOT_FOUND, errors.UnknownModel),
        (grpc.StatusCode.NOT_FOUND, errors.UnknownVersion),
        (grpc.StatusCode.INVALID_ARGUMENT, errors.InvalidInput),
        (grpc.StatusCode.INVALID_ARGUMENT, errors.UnsupportedImplementation),
        (grpc.StatusCode.FAILED_PRECONDITION, errors.NotCausal),
        (grpc.StatusCode.INTERNAL, errors.InternalFailure),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.DeadlineExpired),
    ],
)
def test_a_reason_becomes_its_class(
    ask: Ask, fake: FakeSequences, code: grpc.StatusCode, kind: type[errors.ServiceError]
) -> None:
    fake.script = [Refusal(code, kind.reason, "a whole sentence", field="inputs", request_id="r-17")]
    with pytest.raises(errors.ServiceError) as caught:
        ask("predict", "digits", sequence(1))
    assert type(caught.value) is kind
    assert str(caught.value) == "a whole sentence"
    assert (caught.value.field, caught.value.request_id) == ("inputs", "r-17")
    assert len(fake.requests) == 1


@dataclass(frozen=True)
class EndedCall:
    """What grpc raises for a status of the server's own table."""

    status: ErrorStatus

    def code(self) -> grpc.StatusCode:
        return self.status.code

    def details(self) -> str:
        return self.status.message

    def trailing_metadata(self) -> list[tuple[str, str | bytes]]:
        return [("content-type", "application/grpc"), (DETAILS_KEY, self.status.details)]


@pytest.mark.parametrize("reason", CODES)
def test_every_error_of_the_servers_table_comes_back_as_itself(reason: str) -> None:
    kind = next(
        kind for kind in vars(errors).values() if getattr(kind, "reason", None) == reason and kind is not errors.ServiceError
    )
    sent = kind("what was wrong", field="lengths", retry_after_seconds=1.5)
    got = mirrored(EndedCall(status_of(sent, "0a1b2c3d-000009")), "localhost:8001")
    assert type(got) is kind
    assert (str(got), got.field, got.retry_after_seconds, got.request_id) == ("what was wrong", "lengths", 1.5, "0a1b2c3d-000009")


def test_a_reason_of_a_newer_server_is_told_apart_by_its_code(ask: Ask, fake: FakeSequences) -> None:
    fake.script = [
        Refusal(grpc.StatusCode.ALREADY_EXISTS, "SOMETHING_NEW", "new"),
        Refusal(grpc.StatusCode.CANCELLED, "SOMETHING_ELSE", "gone"),
    ]
    with pytest.raises(CallFailed, match="new"):
        ask("predict", "digits", sequence(1))
    with pytest.raises(errors.Cancelled, match="gone"):
        ask("predict", "digits", sequence(1))


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, "no token", AccessDenied),
        (grpc.StatusCode.PERMISSION_DENIED, "not yours", AccessDenied),
        (grpc.StatusCode.UNIMPLEMENTED, "Method not found!", MethodMissing),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max (9 vs. 4)", MessageTooLarge),
        (grpc.StatusCode.DATA_LOSS, "odd", CallFailed),
    ],
)
def test_failures_without_details(ask: Ask, fake: FakeSequences, code: grpc.StatusCode, message: str, kind: type) -> None:
    fake.script = [Refusal(code, message=message)]
    with pytest.raises(kind, match=message.split("(")[0]):
        ask("predict", "digits", sequence(1))
    assert len(fake.requests) == 1


def test_a_call_that_a_stopping_server_drops_is_tried_again(ask: Ask, fake: FakeSequences) -> None:
    fake.script = [Refusal(grpc.StatusCode.CANCELLED, message="CANCELLED")]
    ask("predict", "digits", sequence(1))
    assert len(fake.requests) == 2


def test_replies_that_contradict_themselves(ask: Ask, fake: FakeSequences) -> None:
    short = pb.Tensor(dtype=pb.FLOAT32, shape=[4, 1], data=b"\0\0\0\0")
    fake.script = [
        pb.RunReply(version="1", lengths=[1], outputs=[pb.Output(name="outputs", tensor=short)]),
        pb.RunReply(
            version="1", lengths=[3], outputs=[pb.Output(name="outputs", per_step=True, tensor=to_wire(np.ones((2, 1))))]
        ),
        pb.RunReply(version="1", lengths=[1], outputs=[pb.Output(name="outputs", tensor=to_wire(np.ones((2, 1))))]),
        pb.RunReply(version="1", lengths=[1]),
        pb.RunReply(version="one", lengths=[1], outputs=[pb.Output(name="outputs", tensor=to_wire(np.ones((1, 1))))]),
        pb.RunReply(version="1", lengths=[1], outputs=[pb.Output(name="outputs", tensor=pb.Tensor(dtype=77, shape=[1]))]),
    ]
    for _ in range(len(fake.script)):
        with pytest.raises(BadReply):
            ask("predict", "digits", sequence(1))


@pytest.mark.parametrize(
    ("x", "options", "field"),
    [
        (np.zeros(3), {}, "inputs"),
        (np.zeros((1, 2, 3, 4)), {}, "inputs"),
        (np.array(["a"]), {}, "inputs"),
        ([], {}, "inputs"),
        (np.zeros((0, 3, 2)), {}, "inputs"),
        ([np.zeros(3)], {}, "inputs"),
        ([np.zeros((3, 2)), np.zeros((3, 4))], {}, "inputs"),
        (np.zeros((3, 2)), {"lengths": [3]}, "lengths"),
        (np.zeros((2, 3, 2)), {"lengths": [3]}, "lengths"),
        (np.zeros((2, 3, 2)), {"lengths": [3, 4]}, "lengths"),
        (np.zeros((2, 3, 2)), {"lengths": [-1, 3]}, "lengths"),
        (np.zeros((2, 3, 2)), {"lengths": [1.5, 3]}, "lengths"),
        (np.zeros((3, 2)), {"mask": np.ones(2, bool)}, "mask"),
        (np.zeros((3, 2)), {"mask": np.ones(3)}, "mask"),
        (np.zeros((2, 3, 2)), {"mask": np.ones((3, 3), bool)}, "mask"),
        (np.zeros((2, 3, 2)), {"initial_state": {"0.h": np.zeros(2 + 1)}}, "initial_state['0.h']"),
        (np.zeros((2, 3, 2)), {"more_inputs": [np.zeros((3, 1))]}, "more_inputs[0]"),
        (np.zeros((2, 3, 2)), {"more_inputs": [[np.zeros((3, 1))]]}, "more_inputs[0]"),
        (np.zeros((2, 3, 2)), {"more_inputs": [np.array(3.0)]}, "more_inputs[0]"),
        (np.zeros((3, 2)), {"more_inputs": [np.array(3.0)]}, "more_inputs[0]"),
        (np.zeros((2, 3, 2)), {"more_inputs": [[np.zeros((3, 1)), np.zeros((3, 2))]]}, "more_inputs[0]"),
        (np.zeros((2, 3, 2)), {"more_inputs": [np.zeros((2, 3, 1))], "more_lengths": [[4, 1]]}, "more_lengths[0]"),
        (np.zeros((2, 3, 2)), {"more_inputs": [np.zeros((2, 3))], "more_lengths": [[3, 1]]}, "more_lengths[0]"),
        (np.zeros((2, 3, 2)), {"more_lengths": [[3, 1]]}, "more_lengths"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_it_travels(
    ask: Ask, fake: FakeSequences, x: Any, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(errors.InvalidInput) as caught:
        ask("predict", "digits", x, **options)
    assert caught.value.field == field
    assert fake.requests == []


@pytest.mark.parametrize("reference", ["", "/3", "a/", "a/b", "a/b/c", "a@", "@canary", "a/-1"])
def test_bad_references(ask: Ask, fake: FakeSequences, reference: str) -> None:
    with pytest.raises(errors.InvalidInput, match="name/3"):
        ask("predict", reference, sequence(1))
    assert fake.requests == []


def test_an_unknown_option_is_a_mistake_of_the_program(ask: Ask) -> None:
    with pytest.raises(TypeError, match="'length'; known are"):
        ask("predict", "digits", sequence(1), length=[1])


@pytest.mark.parametrize("url", ["", "http://localhost:8001", "grpcs://"])
@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_bad_addresses(client: type[Client | AsyncClient], url: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        client(url)


@pytest.mark.parametrize("half", [{"client_certificate": b"-----"}, {"client_key": b"-----"}])
@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_half_of_a_certificate_and_key(client: type[Client | AsyncClient], half: dict[str, bytes]) -> None:
    with pytest.raises(ValueError, match="both or neither"):
        client("grpcs://localhost:8001", **half)  # type: ignore[arg-type]
