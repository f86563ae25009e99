"""Shared memory, which this server does not offer: no region is ever registered, so none needs to be unregistered.

Clients ask for the list and unregister everything as a matter of course, so that much is answered. Messages in, messages out.
"""

from __future__ import annotations

from typing import NoReturn

from cellserve.service.errors import NotOffered


def refuse(kind: str, region: str) -> NoReturn:
    """kind: "system" or "CUDA". Raises NotOffered."""
    raise NotOffered(
        f"this server does not read {kind} shared memory, so {region[:64]!r} cannot be registered; send tensors in the messages",
        field="name",
    )
