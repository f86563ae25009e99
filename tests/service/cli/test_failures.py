"""What a command says when it fails."""

from __future__ import annotations

import pytest

from cellserve.service.cli.failures import sentence
from cellserve.service.client import ServerNotTrusted
from cellserve.service.errors import Overloaded, ServiceError, TokenInvalid, TokenMissing


@pytest.mark.parametrize(
    ("error", "option"),
    [
        (TokenMissing("no token"), "--token-file"),
        (TokenInvalid("unknown token"), "--token-file"),
        (ServerNotTrusted("another authority"), "--root-certificates"),
    ],
)
def test_what_any_client_is_told_comes_with_the_option_of_a_command(error: ServiceError, option: str) -> None:
    assert str(error) in sentence(error)
    assert option in sentence(error)


def test_other_errors_are_told_as_they_are() -> None:
    assert sentence(Overloaded("too much")) == "too much"
