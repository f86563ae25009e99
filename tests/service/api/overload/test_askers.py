"""Whose share a call counts in."""

from __future__ import annotations

from cellserve.service.api.overload.askers import asker_of, streaming_asker_of
from cellserve.service.engine.asker import Asker
from cellserve.service.errors import RETRY_TICKET_KEY
from cellserve.service.split_key import LONGEST_SPLIT_KEY, SPLIT_KEY


class Context:
    def __init__(self, *metadata: tuple[str, str], peer: str = "ipv4:10.0.0.7:4711") -> None:
        self._metadata = metadata
        self._peer = peer

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata

    def peer(self) -> str:
        return self._peer


def test_a_connection_is_a_client_and_brings_its_ticket() -> None:
    assert asker_of(Context()) == Asker("ipv4:10.0.0.7:4711")
    assert asker_of(Context((RETRY_TICKET_KEY, "t"))).ticket == "t"
    assert len(asker_of(Context((RETRY_TICKET_KEY, "t" * 9999))).ticket) < 200


def test_a_key_for_split_aliases_comes_with_a_call_and_with_a_stream() -> None:
    keyed = Context((SPLIT_KEY, "user-7"))
    assert asker_of(keyed).split_key == streaming_asker_of(keyed).split_key == "user-7"
    assert len(asker_of(Context((SPLIT_KEY, "u" * 9999))).split_key) == LONGEST_SPLIT_KEY
    assert asker_of(Context()).split_key == ""


def test_a_token_is_a_client_wherever_it_comes_from_and_is_not_kept() -> None:
    here = asker_of(Context(("authorization", "Bearer secret-of-the-shop")))
    there = asker_of(Context(("authorization", "Bearer secret-of-the-shop"), peer="ipv4:10.0.0.8:1"))
    assert here == there != asker_of(Context(("authorization", "Bearer another")))
    assert "secret" not in here.client


def test_each_stream_of_a_connection_is_a_client_but_not_those_of_a_token() -> None:
    assert streaming_asker_of(Context()) != streaming_asker_of(Context())
    token = Context(("authorization", "Bearer secret-of-the-shop"))
    assert streaming_asker_of(token) == streaming_asker_of(token) == asker_of(token)
