"""Addresses of session stores, as users write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellserve.service.store_url import StoreUrl


def test_none_is_none() -> None:
    assert StoreUrl.parse("") is None


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("valkey://host", StoreUrl((("host", 6379),))),
        ("redis://host:1/3", StoreUrl((("host", 1),), database=3)),
        ("valkey://[::1]:7000", StoreUrl((("::1", 7000),))),
        ("valkeys://u:p%40%23@host", StoreUrl((("host", 6379),), tls=True, user="u", password="p@#")),
        ("valkey://:secret@host", StoreUrl((("host", 6379),), password="secret")),
        (
            "valkeys://host?ca=/ca.pem&certificate=/c.pem&key=/k.pem",
            StoreUrl((("host", 6379),), tls=True, ca=Path("/ca.pem"), certificate=Path("/c.pem"), key=Path("/k.pem")),
        ),
        (
            "valkey+sentinel://:s@one,two:5000/main/2",
            StoreUrl((("one", 26379), ("two", 5000)), password="s", master="main", database=2),
        ),
    ],
)
def test_an_address_is_read(text: str, parsed: StoreUrl) -> None:
    assert StoreUrl.parse(text) == parsed


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("host:6379", "scheme"),
        ("http://host", "scheme"),
        ("valkey://", "no host"),
        ("valkey://one,two", "Sentinels only"),
        ("valkey://host/db", "database"),
        ("valkey://host/0/1", "database"),
        ("valkey+sentinel://host", "master"),
        ("valkey://host?ca=/x", "not encrypted"),
        ("valkeys://host?cipher=x", "cipher"),
        ("valkeys://host?certificate=/x", "belong together"),
        ("valkey://host:port", "Port"),
        ("valkey://u:a#b@host", "fragment|host"),
    ],
)
def test_what_is_no_address_is_told_in_a_sentence_with_the_shapes(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as error:
        StoreUrl.parse(text)
    assert "valkey+sentinel://" in str(error.value)


def test_a_log_shows_no_password() -> None:
    for text in ("valkey://user:secret@host:1/2", "valkey+sentinel://user:secret@one,two/main"):
        assert "secret" not in str(StoreUrl.parse(text))
