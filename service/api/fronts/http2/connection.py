"""One connection: bytes of a socket into events of HTTP/2, events into calls, what calls send into frames (outgoing.py).

What a client may cost is bounded: streams, headers, pings, resets, acknowledgements that it does not read, silence. Knows no
methods and no messages.
"""

from __future__ import annotations

import asyncio
import fcntl
import random
import termios
import time
from array import array
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

import grpc
import ngh2

from cellserve.service.api.call_context import Ending, Metadata
from cellserve.service.api.facts import ConnectionEnd
from cellserve.service.api.fronts.front import Calls
from cellserve.service.api.fronts.http2.bounds.keepalive import Keepalive
from cellserve.service.api.fronts.http2.bounds.ping_limit import PingLimit
from cellserve.service.api.fronts.http2.bounds.rate_limit import RateLimit
from cellserve.service.api.fronts.http2.call import Call
from cellserve.service.api.fronts.http2.headers import (
    REPLY_HEADERS,
    Fields,
    HeadReader,
    NotGrpc,
    RequestHead,
    Unreadable,
    trailers,
)
from cellserve.service.api.fronts.http2.messages import prefix
from cellserve.service.api.fronts.http2.outgoing import Outgoing
from cellserve.service.api.fronts.http2.peer import peer_of
from cellserve.service.api.fronts.http2.stream_ends import StreamEnds
from cellserve.service.api.fronts.http2.windows import STREAM_WINDOW_BYTES, Windows
from cellserve.service.api.fronts.options import ServerOptions

_FRAME_BYTES: Final = 1 << 16
_SLICE_BYTES: Final = 1 << 16  # of what has come: mostly messages, 39 KB of which take 34 µs, and 41 in the slices below
_NARROW_SLICE_BYTES: Final = 1 << 14  # mostly headers: may be a hundred calls
_TURN_SECONDS: Final = 0.004  # for one connection, while others wait
_HEADER_BYTES: Final = 1 << 16  # beyond this the connection ends; headers.py refuses a call before
_RESETS: Final = (20_000, 4_000)  # at once, and in a second: clients that hedge give up half of all their calls
_SETTINGS: Final = (1_000, 10)  # the same; each changes the windows of all streams
_FLOODS: Final = (ngh2.ErrorCode.INTERNAL_ERROR, ngh2.ErrorCode.ENHANCE_YOUR_CALM)  # as which nghttp2 tells resets, and the rest
_FIRST_MESSAGE_SECONDS: Final = 0.05  # after the headers of a call: a client that speaks first has spoken
_NOTICE_SECONDS: Final = 0.05  # for calls that crossed the word that there shall be no more
_LINGER_SECONDS: Final = 1.0  # for the last bytes on their way out
_AGE_SPREAD: Final = 0.1  # either way, so that clients that came together do not come again together


def _configuration() -> ngh2.Configuration:
    return ngh2.Configuration(
        auto_window_update=False,
        max_inbound_header_list_size=_HEADER_BYTES,
        max_inbound_header_count=256,
        stream_reset_rate_limit=_RESETS,
    )


class Peers(Protocol):
    """Who keeps the connections."""

    def ready(self, call: Call) -> None:
        """Its message has come; it is to be started when its turn comes."""

    def waited_seconds(self) -> float:
        """How long the one whose turn comes next waits already."""

    def opened(self, connection: Connection) -> None: ...

    def closed(self, connection: Connection) -> None: ...

    def cut(self, connection: Connection, why: str) -> None:
        """It was ended for what its client did: its `end_cause`."""

    def received(self, received_bytes: int) -> None: ...

    def sent(self, sent_bytes: int) -> None:
        """So many were given to be sent."""


class _Arrival(NamedTuple):
    """A Caller, of a call that may never begin."""

    connection: Connection
    head: RequestHead

    def peer(self) -> str:
        return self.connection.peer

    def invocation_metadata(self) -> Metadata:
        return self.head.metadata


class Connection(asyncio.Protocol):
    """On the event loop. What calls ask of it is described in call.py."""

    def __init__(self, calls: Calls, options: ServerOptions, peers: Peers, loop: asyncio.AbstractEventLoop) -> None:
        self._methods = calls
        self._options = options
        self._peers = peers
        self._loop = loop
        self._session: Any = ngh2.Connection(ngh2.Role.SERVER, _configuration())
        self._transport: Any = None
        self._unread = b""  # has come, and waits for the next turn
        self.peer = ""
        self.end_cause: ConnectionEnd = "client"
        self._calls: dict[int, Call] = {}
        self._heads = HeadReader()
        self._ends = StreamEnds()
        self._outgoing = Outgoing(self._session, self._ends, loop, self._break, self._take_events)
        self._windows = Windows(self._session, self._outgoing)
        self._open = self._leaving = self._greeted = self._scolded = False
        self._pings = PingLimit(options.min_ping_interval_seconds)
        self._settings = RateLimit(*_SETTINGS, loop.time())
        self._keepalive = Keepalive(options.keepalive_seconds, options.keepalive_timeout_seconds, loop.time())
        self._timers: list[asyncio.TimerHandle] = []  # of uvloop, those that are due at once do not tell their time
        self._tending: asyncio.TimerHandle | None = None
        self._on: dict[type, Callable[[Any], None]] = {
            ngh2.RequestReceived: self._on_request,
            ngh2.DataReceived: self._on_data,
            ngh2.TrailersReceived: self._on_trailers,
            ngh2.StreamClosed: self._on_closed_stream,
            ngh2.SettingsReceived: self._on_settings,
            ngh2.SettingsAcknowledged: self._on_acknowledged_settings,
            ngh2.PingReceived: self._on_ping,
            ngh2.ConnectionClosed: self._on_closed,
        }

    @property
    def held_bytes(self) -> int:
        """What the client makes this side hold: messages that have not come whole or are not taken, both ways."""
        if not self._open:
            return 0
        return self._outgoing.unsent_bytes + sum(call.held_bytes for call in self._calls.values())

    @property
    def unread_bytes(self) -> int:
        """What has come and waits to be read."""
        socket = self._transport.get_extra_info("socket") if self._open else None
        if socket is None:
            return 0
        waiting = array("i", [0])
        fcntl.ioctl(socket.fileno(), termios.FIONREAD, waiting)
        return waiting[0] + len(self._unread)

    # --- the transport ---

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._open = True
        self._outgoing.begin(transport)
        self.peer = peer_of(transport)
        options = self._options
        self._session.initiate_connection(
            {
                ngh2.Setting.MAX_CONCURRENT_STREAMS: options.max_concurrent_calls,
                ngh2.Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW_BYTES,
                ngh2.Setting.MAX_FRAME_SIZE: _FRAME_BYTES,
                ngh2.Setting.MAX_HEADER_LIST_SIZE: _HEADER_BYTES,
                ngh2.Setting.NO_RFC7540_PRIORITIES: 1,
            }
        )
        self._windows.fit()
        if options.max_connection_age_seconds:
            age_seconds = options.max_connection_age_seconds * random.uniform(1.0 - _AGE_SPREAD, 1.0 + _AGE_SPREAD)
            self._timers.append(self._loop.call_later(age_seconds, self._grow_old))
        self._peers.opened(self)
        self._outgoing.flush()
        self._tend()

    def data_received(self, data: bytes) -> None:
        """So much may be begun calls that others would wait for a long while: after some of it, they have their turn."""
        until_seconds = time.monotonic() + _TURN_SECONDS
        slice_bytes = _NARROW_SLICE_BYTES if self._windows.narrow else _SLICE_BYTES
        for begin in range(0, len(data), slice_bytes):
            if not self._open:
                return
            if begin and time.monotonic() > until_seconds:
                self._unread = data[begin:]
                self._transport.pause_reading()
                self._loop.call_soon(self._read_on)
                return
            self._receive(data[begin : begin + slice_bytes])

    def _read_on(self) -> None:
        data, self._unread = self._unread, b""
        if self._open:
            self.data_received(data)
        if self._open and not self._unread and not self._transport.is_closing():
            self._transport.resume_reading()

    def _receive(self, data: bytes) -> None:
        self._keepalive.heard(self._loop.time())
        self._peers.received(len(data))
        self._outgoing.hold()
        try:
            self._session.receive_data(data)
        except ngh2.DenialOfServiceError as error:
            self._cut("flood", str(error))
        except ngh2.NGH2Error as error:
            self._cut("protocol" if self._greeted else "not_http2", str(error))
        else:
            self._take_events()
            if self._open:
                self._windows.fit()
        self._outgoing.release()

    def pause_writing(self) -> None:
        self._outgoing.pause()

    def resume_writing(self) -> None:
        self._outgoing.resume()

    def connection_lost(self, error: Exception | None) -> None:
        self._forget()
        self._outgoing.close()
        for timer in (*self._timers, self._tending):
            if timer is not None:
                timer.cancel()
        self._peers.closed(self)
        self._on.clear()  # no circles: what the session holds is given back now, and not when garbage is collected
        self._session = None

    # --- under overload ---

    def relax(self, now_seconds: float) -> None:
        """To be called every few hundredths of a second.

        While others' messages hold up that of a call that was let in before, it is told so when half its time is over.
        """
        if not self._open or not self._windows.narrow:
            return
        self._windows.relax(now_seconds)
        if not self._windows.narrow:
            return
        for stream_id in self._ends.silent:
            call = self._calls.get(stream_id)
            if call is not None and call.waits_too_long(now_seconds):
                ending = self._methods.given_up(call.path)
                if ending is not None:
                    call.finish(*ending)

    def _turn_away(self, stream_id: int, ending: Ending) -> None:
        """What is refused within a few milliseconds leaves in one write."""
        self._pings.answered()
        self._windows.turned_away(self._loop.time())
        fields = (*REPLY_HEADERS, *trailers(*ending))
        self._ends.turned_away(stream_id)
        self._outgoing.send_gathered(stream_id, lambda session: session.send_response(stream_id, fields, end_stream=True))

    def _on_acknowledged_settings(self, event: ngh2.SettingsAcknowledged) -> None:
        """A smaller window counts for the calls under way, too."""
        self._windows.let_in([stream_id for stream_id, call in self._calls.items() if not call.is_over])

    # --- the end ---

    def leave(self) -> None:
        """The client is told to go elsewhere with new calls; the connection ends with its last one."""
        if self._open and not self._leaving:
            self._leaving = True
            self.end_cause = "server"
            self._session.send_shutdown_notice()
            self._outgoing.flush()
            self._timers.append(self._loop.call_later(_NOTICE_SECONDS, self._take_no_more))

    def end(self) -> None:
        """At once, whatever is under way."""
        if self._open:
            self.end_cause = "server"
            self._ends.all_spoken()
            for stream_id in self._ends.untold:
                self._tell(stream_id)
            for call in list(self._calls.values()):
                call.refuse(Unreadable(grpc.StatusCode.UNAVAILABLE, "the server ends this connection"))
            self._outgoing.flush()
            self._close()

    def _take_no_more(self) -> None:
        if self._open:
            self._session.send_goaway()
            self._outgoing.flush()

    def _grow_old(self) -> None:
        self.leave()
        self._timers.append(self._loop.call_later(self._options.max_connection_age_grace_seconds, self.end))

    def cut_for_memory(self, held_bytes: int) -> None:
        """At once: what waits to be sent is dropped."""
        if self._open:
            self._cut(
                "memory", f"it made the server hold {held_bytes} bytes of requests that are not whole and replies not taken"
            )
            self._transport.abort()

    def _break(self, why: str) -> None:
        self._cut("protocol", why)

    def _cut(self, cause: ConnectionEnd, why: str) -> None:
        self.end_cause = cause
        self._peers.cut(self, why)
        self._close()

    def _close(self) -> None:
        self._forget()
        self._transport.close()
        self._timers.append(self._loop.call_later(_LINGER_SECONDS, self._transport.abort))  # of a client that does not read

    def _forget(self) -> None:
        """Nothing can be sent any more."""
        self._open = False
        self._ends.nothing_due()
        calls, self._calls = self._calls, {}
        for call in calls.values():
            if not call.is_over:
                call.cut()
        self._outgoing.end()

    def _tend(self) -> None:
        """Looks after a client that may be gone."""
        if not self._open:
            return
        now_seconds = self._loop.time()
        match self._keepalive.step(now_seconds):
            case "drop":
                self._cut("silent", "it has not answered")
                return
            case "ask":
                self._session.ping()
                self._outgoing.flush()
        self._tending = self._loop.call_at(self._keepalive.next_seconds(now_seconds), self._tend)

    # --- what comes ---

    def _take_events(self) -> None:
        for event in self._session.events():
            handle = self._on.get(type(event))
            if handle is not None and self._open:  # what came behind the offence that ended it is not looked at
                handle(event)

    def _on_request(self, event: ngh2.RequestReceived) -> None:
        stream_id = event.stream_id
        if not event.end_stream:
            self._ends.begun(stream_id)
        try:
            head = self._heads.read(event.headers)
        except NotGrpc as error:
            self.send_only_trailers(stream_id, ((b":status", b"%d" % error.status),))
        except Unreadable as error:
            self.send_only_trailers(stream_id, (*REPLY_HEADERS, *trailers(error.code, str(error), ())))
        else:
            self._begin(stream_id, head, event.end_stream)

    def _begin(self, stream_id: int, head: RequestHead, is_all: bool) -> None:
        methods = self._methods
        if methods.gated(head.path):
            handler = methods.let_in(head.path, _Arrival(self, head), self._peers.waited_seconds())
            if isinstance(handler, Ending):
                self._turn_away(stream_id, handler)
                return
        else:
            handler = methods.handler(head.path)
        if handler is None:
            self.send_only_trailers(stream_id, (*REPLY_HEADERS, *trailers(*methods.not_offered(head.path))))
            return
        self._windows.let_in((stream_id,))
        call = self._calls[stream_id] = Call(self, stream_id, head, self._options.max_message_bytes, self._loop)
        call.begin(handler)
        if is_all:
            call.end_of_messages()

    def _on_data(self, event: ngh2.DataReceived) -> None:
        self._ends.spoken(event.stream_id)
        self._windows.received(len(event.data))
        call = self._calls.get(event.stream_id)
        if call is None or call.is_over:
            self.acknowledge(event.stream_id, len(event.data))
            self._tell(event.stream_id)
            return
        if event.data:
            call.feed(event.data)
        if event.end_stream and not call.is_over:
            call.end_of_messages()

    def _on_trailers(self, event: ngh2.TrailersReceived) -> None:
        call = self._calls.get(event.stream_id)
        if call is not None and not call.is_over:
            call.end_of_messages()

    def _on_closed_stream(self, event: ngh2.StreamClosed) -> None:
        self._ends.gone(event.stream_id)
        call = self._calls.pop(event.stream_id, None)
        if call is not None and not call.is_over:
            call.cut()
        self._outgoing.gone(event.stream_id)

    def _on_settings(self, event: ngh2.SettingsReceived) -> None:
        self._greeted = True
        if self._settings.exceeded_by(self._loop.time()):
            self._cut("flood", "it changes its settings without end")

    def _on_ping(self, event: ngh2.PingReceived) -> None:
        if self._open and self._pings.exceeded_by(self._loop.time()):
            self._scolded = True
            self._session.send_goaway(ngh2.ErrorCode.ENHANCE_YOUR_CALM, debug_data=b"too_many_pings")
            self._outgoing.flush()
            self._cut("pings", f"it pings more often than every {self._options.min_ping_interval_seconds:g} s")

    def _on_closed(self, event: ngh2.ConnectionClosed) -> None:
        if not self._open or self._scolded:  # it is this side's own word that ends it
            return
        if event.error_code in _FLOODS:
            self._cut("flood", f"more resets or useless frames than any client sends (HTTP/2 error {event.error_code})")
        elif event.error_code:
            self._cut("protocol", f"HTTP/2 error {event.error_code}: {event.debug_data[:100].decode('ascii', 'replace')}")
        else:
            self._close()

    # --- what calls send ---

    def send_headers(self, stream_id: int, fields: Fields) -> None:
        self._pings.answered()
        self._outgoing.send(stream_id, lambda session: session.send_response(stream_id, fields))

    def send_message(self, stream_id: int, message: bytes) -> None:
        self._pings.answered()
        self._peers.sent(len(message))
        self._outgoing.send(stream_id, lambda session: session.send_data(stream_id, prefix(len(message)) + message))

    def send_trailers(self, stream_id: int, fields: Fields) -> None:
        self._ends.answered(stream_id, self._loop.time())
        self._outgoing.send(stream_id, lambda session: session.send_trailers(stream_id, fields))

    def send_only_trailers(self, stream_id: int, fields: Fields) -> None:
        """Of a call whose first message is on its way, after it."""
        if self._ends.postponed(stream_id, fields):
            self._loop.call_later(_FIRST_MESSAGE_SECONDS, self._tell, stream_id)
            return
        self._pings.answered()
        self._ends.answered(stream_id, self._loop.time())
        self._outgoing.send(stream_id, lambda session: session.send_response(stream_id, fields, end_stream=True))

    def _tell(self, stream_id: int) -> None:
        fields = self._ends.due(stream_id)
        if fields is not None:
            self.send_only_trailers(stream_id, fields)

    def send_unary(self, stream_id: int, message: bytes, fields: Fields) -> None:
        def act(session: ngh2.Connection) -> None:
            session.send_response(stream_id, REPLY_HEADERS)
            session.send_data(stream_id, prefix(len(message)) + message)
            session.send_trailers(stream_id, fields)

        self._pings.answered()
        self._peers.sent(len(message))
        self._ends.answered(stream_id, self._loop.time())
        self._outgoing.send(stream_id, act)

    def acknowledge(self, stream_id: int, received_bytes: int) -> None:
        self._windows.taken(stream_id, received_bytes)

    def ready(self, call: Call) -> None:
        """Whoever is never turned away is not kept waiting for those who may be."""
        if self._methods.gated(call.path):
            self._peers.ready(call)
        else:
            call.start()

    async def room_to_send(self, stream_id: int) -> None:
        while stream_id in self._calls and self._outgoing.is_full(stream_id):
            await self._outgoing.room(stream_id)
