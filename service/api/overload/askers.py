"""Who asks: the client whose share a call counts in, the ticket that a refusal gave it, and its key for aliases that are split.

A client is a token where calls carry one, else a connection; each stream of a connection is one for itself. Knows no rights, and
not what the engine makes of it.
"""

from __future__ import annotations

import itertools
from hashlib import blake2b
from typing import Any, Final

from cellserve.service.engine.asker import Asker
from cellserve.service.errors import RETRY_TICKET_KEY
from cellserve.service.split_key import LONGEST_SPLIT_KEY, SPLIT_KEY

_LONGEST_TICKET: Final = 128
_streams = itertools.count(1)


def asker_of(context: Any) -> Asker:
    """Of a call by its context."""
    token = ticket = split_key = ""
    for key, value in context.invocation_metadata() or ():
        if key == "authorization":
            token = str(value)
        elif key == RETRY_TICKET_KEY:
            ticket = str(value)[:_LONGEST_TICKET]
        elif key == SPLIT_KEY:
            split_key = str(value)[:LONGEST_SPLIT_KEY]
    return Asker(_token_name(token) if token else context.peer(), ticket=ticket, split_key=split_key)


def streaming_asker_of(context: Any) -> Asker:
    """Of all requests of a stream by its context."""
    asker = asker_of(context)._replace(ticket="")
    return asker if asker.client.startswith(_TOKEN) else asker._replace(client=f"{asker.client} stream {next(_streams)}")


_TOKEN: Final = "token "


def _token_name(token: str) -> str:
    """Tokens are never kept."""
    return _TOKEN + blake2b(token.encode(), digest_size=8).hexdigest()
