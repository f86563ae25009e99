"""Clients of a Valkey or Redis server, from its address. Knows no sequences."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, TypeVar

import libvalkey
from valkey.asyncio import Valkey
from valkey.asyncio.connection import AbstractConnection
from valkey.asyncio.retry import Retry
from valkey.asyncio.sentinel import Sentinel
from valkey.backoff import ExponentialBackoff
from valkey.exceptions import ConnectionError as Broken
from valkey.exceptions import TimeoutError as TooLate

from cellserve.service.store_url import StoreUrl

_ANSWER_SECONDS: Final = 2.0
_CONNECT_SECONDS: Final = 1.0
_RETRIES: Final = 2
_FIRST_WAIT_SECONDS: Final = 0.01
_LONGEST_WAIT_SECONDS: Final = 0.1

Answer = TypeVar("Answer")


class Connected(NamedTuple):
    """client: connects when it is first used, and again when it must; a command that was cut off is sent again.

    writer: the same with one connection of its own, for commands that come one after the other: one out of the pool is listened
    to before each use, whether it has something to say. others: clients of those who say where the store is.
    """

    client: Valkey
    writer: Valkey
    others: tuple[Valkey, ...] = ()

    async def close(self) -> None:
        for each in (self.writer, self.client, *self.others):
            await each.aclose()


def connected(url: StoreUrl, client_name: str) -> Connected:
    options: dict[str, Any] = {
        "socket_timeout": None,
        "socket_connect_timeout": _CONNECT_SECONDS,
        "socket_keepalive": True,
        "valkey_connect_func": _greeted,
        "retry": _InTime(ExponentialBackoff(cap=_LONGEST_WAIT_SECONDS, base=_FIRST_WAIT_SECONDS), _RETRIES),
        "retry_on_error": [Broken, TooLate],
        "client_name": client_name,
    }
    of_user: dict[str, Any] = {"username": url.user, "password": url.password}
    if url.tls:
        options |= {"ssl": True, "ssl_check_hostname": True} | {
            option: str(file)
            for option, file in (("ssl_ca_certs", url.ca), ("ssl_certfile", url.certificate), ("ssl_keyfile", url.key))
            if file is not None
        }
    if url.master is None:
        ((host, port),) = url.addresses
        return _connected(Valkey(host=host, port=port, db=url.database, **of_user, **options))
    sentinels = Sentinel(list(url.addresses), sentinel_kwargs=dict(options), **options)  # type: ignore[no-untyped-call]
    master: Valkey = sentinels.master_for(url.master, db=url.database, **of_user)
    return _connected(master, tuple(sentinels.sentinels))


def _connected(client: Valkey, others: tuple[Valkey, ...] = ()) -> Connected:
    pool = client.connection_pool
    pool.connection_class = type("Connection", (_PackedInC, pool.connection_class), {})
    return Connected(client, client.client(), others)


class _PackedInC:
    """A connection whose commands are put into bytes by libvalkey: valkey-py itself does that for blocking connections only."""

    def pack_command(self, name: str, *arguments: str | bytes | int) -> list[bytes]:
        return [libvalkey.pack_command((*name.split(), *arguments))]


class _InTime(Retry):
    """An attempt has so long for its answer. socket_timeout would do, were it not for a task that it makes of each command."""

    __slots__ = ()

    async def call_with_retry(self, do: Callable[[], Awaitable[Answer]], fail: Callable[[Any], Any]) -> Answer:
        return await super().call_with_retry(lambda: _in_time(do), fail)


async def _greeted(connection: AbstractConnection) -> None:
    """Who we are, and which database is meant."""
    await _in_time(connection.on_connect)


async def _in_time(act: Callable[[], Awaitable[Answer]]) -> Answer:
    """A connection that is left in the middle of an answer is closed by the library. Raises TooLate."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS) as limit:
            return await act()
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise TooLate(f"no answer in {_ANSWER_SECONDS:g} s") from error
