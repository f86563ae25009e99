"""Whose x-request-id is believed: that of a proxy which gives every request one, and the same to each attempt at it.

Anybody may send the header. From elsewhere it is as if it were not there: a client that repeats an id would else be answered
with what another request got. Knows no sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from cellserve.service.api.access.administration import host_of
from cellserve.service.api.call_context import Caller
from cellserve.service.networks import Network, contains

_KEY: Final = "x-request-id"
_LONGEST: Final = 128
_PEERS: Final = 4096  # connections whose answer is remembered


class Proxies:
    """networks: where they call from."""

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = networks
        self._is_one = lru_cache(_PEERS)(lambda peer: contains(networks, host_of(peer)))

    def request_id(self, caller: Caller) -> str | None:
        """None: none was sent, or nobody who is believed has sent it."""
        if not self._networks or not self._is_one(caller.peer()):
            return None
        for key, value in caller.invocation_metadata() or ():
            if key == _KEY:
                return str(value)[:_LONGEST] or None
        return None
