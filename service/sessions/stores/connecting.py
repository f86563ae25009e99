"""A client of a Valkey or Redis server, from its address. Knows no sequences."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from valkey.asyncio import Valkey
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


class Connected(NamedTuple):
    """client: connects when it is first used, and again when it must; a command that was cut off is sent again.

    others: clients of those who say where the store is.
    """

    client: Valkey
    others: tuple[Valkey, ...] = ()

    async def close(self) -> None:
        for each in (self.client, *self.others):
            await each.aclose()


def connected(url: StoreUrl, client_name: str) -> Connected:
    options: dict[str, Any] = {
        "socket_timeout": _ANSWER_SECONDS,
        "socket_connect_timeout": _CONNECT_SECONDS,
        "socket_keepalive": True,
        "retry": Retry(ExponentialBackoff(cap=_LONGEST_WAIT_SECONDS, base=_FIRST_WAIT_SECONDS), _RETRIES),
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
        return Connected(Valkey(host=host, port=port, db=url.database, **of_user, **options))
    sentinels = Sentinel(list(url.addresses), sentinel_kwargs=dict(options), **options)  # type: ignore[no-untyped-call]
    master: Valkey = sentinels.master_for(url.master, db=url.database, **of_user)
    return Connected(master, tuple(sentinels.sentinels))
