"""Whether the library of this front does here what it shall: one call, from its headers to its trailers, in memory."""

from __future__ import annotations

from typing import Any, Final

import ngh2

_REQUEST: Final = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a/B"), (b":authority", b"here"))
_TRAILERS: Final = ((b"grpc-status", b"0"),)
_ROUNDS: Final = 4


def complaint() -> str | None:
    """What is wrong; None: nothing."""
    try:
        client = ngh2.Connection(ngh2.Role.CLIENT)
        server = ngh2.Connection(ngh2.Role.SERVER, ngh2.Configuration(auto_window_update=False))
        client.initiate_connection()
        server.initiate_connection()
        stream_id = client.send_request(_REQUEST)
        client.send_data(stream_id, b"asked", end_stream=True)
        asked = _exchanged(client, server)
        server.acknowledge_received_data(len(asked.get(ngh2.DataReceived, b"")), stream_id)
        server.send_response(stream_id, ((b":status", b"200"),))
        server.send_data(stream_id, b"answered")
        server.send_trailers(stream_id, _TRAILERS)
        answered = _exchanged(server, client)
    except (ngh2.NGH2Error, AttributeError, TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    if asked.get(ngh2.DataReceived) != b"asked" or ngh2.RequestReceived not in asked:
        return "a request does not arrive as it was sent"
    if answered.get(ngh2.DataReceived) != b"answered" or answered.get(ngh2.TrailersReceived) != _TRAILERS:
        return "an answer does not arrive as it was sent"
    return None


def _exchanged(sender: ngh2.Connection, receiver: ngh2.Connection) -> dict[type, Any]:
    """What the receiver learns, by the kind of event."""
    learnt: dict[type, Any] = {}
    for _ in range(_ROUNDS):
        receiver.receive_data(sender.data_to_send())
        for event in receiver.events():
            if isinstance(event, ngh2.DataReceived):
                learnt[type(event)] = event.data
            elif isinstance(event, ngh2.RequestReceived | ngh2.TrailersReceived):
                learnt[type(event)] = event.headers
        sender.receive_data(receiver.data_to_send())
    return learnt
