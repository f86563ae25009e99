"""Which call needs which right."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from cellserve.service.api.access.administration import is_loopback
from cellserve.service.api.access.allowances import Allowance
from cellserve.service.api.access.rights import ADMINISTRATION, OPEN, Access, LocalAdministration, TokenAccess, bearer
from cellserve.service.api.access.tokens import Grant, Role, Tokens, read_tokens
from cellserve.service.errors import AccessDenied, AdministrationDenied, TokenInvalid, TokenMissing
from cellserve.service.pb import cellserve_pb2, open_inference_pb2

INFER, ADMIN = "infer-0123456789abcdef", "admin-0123456789abcdef"
METHODS = {
    f"/{service.full_name}/{method.name}"
    for file in (cellserve_pb2, open_inference_pb2, health_pb2, reflection_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
OTHERS = METHODS - OPEN - ADMINISTRATION


class FakeContext:
    def __init__(self, peer: str, *metadata: tuple[str, str]) -> None:
        self._peer, self._metadata = peer, metadata

    def peer(self) -> str:
        return self._peer

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata


NEAR, FAR = "ipv4:127.0.0.1:4711", "ipv4:192.0.2.7:4711"


def with_token(token: str, peer: str = FAR) -> FakeContext:
    return FakeContext(peer, ("user-agent", "test"), ("authorization", f"Bearer {token}"))


def refusal(access: Access, method: str, context: Any) -> type[Exception] | None:
    guard = access.guard(method)
    try:
        if guard is not None:
            guard(context)
    except AccessDenied as denied:
        return type(denied)
    return None


@pytest.fixture
def access(tmp_path: Path) -> TokenAccess:
    path = tmp_path / "tokens"
    path.write_text(f"infer {INFER}\nadmin {ADMIN}\n")
    tokens = read_tokens(path)
    return TokenAccess(lambda: tokens)


def test_the_lists_name_methods_that_there_are() -> None:
    assert OPEN | ADMINISTRATION <= METHODS
    assert not OPEN & ADMINISTRATION


def test_without_tokens_only_administration_is_looked_at() -> None:
    local = LocalAdministration()
    assert {method for method in METHODS if local.guard(method) is not None} == ADMINISTRATION
    for method in ADMINISTRATION:
        assert refusal(local, method, FakeContext(NEAR)) is None
        assert refusal(local, method, FakeContext(FAR)) is AdministrationDenied


def test_with_tokens_only_health_is_open(access: TokenAccess) -> None:
    assert {method for method in METHODS if access.guard(method) is None} == OPEN
    assert all(re.search("Health|Live|Ready", method) for method in OPEN)


def test_with_tokens_inference_needs_any_and_administration_an_admins(access: TokenAccess) -> None:
    for method in OTHERS:
        assert refusal(access, method, with_token(INFER)) is None
        assert refusal(access, method, with_token(ADMIN)) is None
    for method in ADMINISTRATION:
        assert refusal(access, method, with_token(ADMIN)) is None
        assert refusal(access, method, with_token(INFER, NEAR)) is AdministrationDenied
    for method in OTHERS | ADMINISTRATION:
        assert refusal(access, method, FakeContext(NEAR)) is TokenMissing
        assert refusal(access, method, with_token("nobody-0123456789abcdef", NEAR)) is TokenInvalid


class Counted(Tokens):
    """Counts how often a token is looked up."""

    lookups = 0

    def grant_of(self, token: str) -> Grant:
        self.lookups += 1
        return super().grant_of(token)


def limited(models: str) -> Counted:
    return Counted({hashlib.sha256(INFER.encode()).digest(): Grant(Role.INFER, "ann", Allowance(models=(models,)), "ann")})


def test_requests_of_a_call_look_its_token_up_again_only_where_the_tokens_are_others() -> None:
    present = first = limited("digits")
    use = TokenAccess(lambda: present).use(with_token(INFER))
    for _ in range(3):
        allowed = use()
        assert allowed is not None
        assert allowed.allows("digits")
    assert first.lookups == 1
    present = limited("speech")
    allowed = use()
    assert allowed is not None
    assert not allowed.allows("digits")
    present = Counted({})  # the token was taken away
    assert use() is allowed


@pytest.mark.parametrize("value", [f"Bearer {INFER}", f"bearer {INFER}", f"BEARER  {INFER} "])
def test_the_scheme_is_bearer_in_any_case(value: str) -> None:
    assert bearer([("authorization", value)]) == INFER


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", INFER, f"Basic {INFER}", f"Token {INFER}"])
def test_anything_else_is_no_bearer_token(value: str) -> None:
    with pytest.raises(TokenInvalid) as caught:
        bearer([("authorization", value)])
    assert INFER not in str(caught.value)


def test_one_call_carries_one_token() -> None:
    with pytest.raises(TokenInvalid):
        bearer([("authorization", f"Bearer {INFER}"), ("authorization", f"Bearer {ADMIN}")])


@pytest.mark.parametrize(
    ("host", "only_here"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("host", False),
    ],
)
def test_which_addresses_only_this_machine_reaches(host: str, only_here: bool) -> None:
    assert is_loopback(host) is only_here
