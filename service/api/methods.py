"""What happens around every rpc: a request id, errors to statuses, and facts for the observer.

Each method's handler is wrapped once, when it is registered: an interceptor of grpc.aio would be asked anew at every call. Who
may call it is decided then, too, so that a method that is open to all pays nothing; a guarded call is looked at before it is
parsed. While more calls come than can be read (gate.py), those of inference may be answered from their headers alone. An
exception that is not a ServiceError reaches the client as one neutral sentence with the request id; its cause goes to the log.
What is told of an rpc is rpc.py's. Knows no messages' meaning and no metrics library.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, Final, NamedTuple, NoReturn

import grpc
from google.protobuf.message import DecodeError

from cellserve.service.api.access.proxies import Proxies
from cellserve.service.api.access.rights import ADMINISTRATION, Access, Guard
from cellserve.service.api.call_context import Caller, Ending
from cellserve.service.api.calls import RequestIds
from cellserve.service.api.facts import DoorObserver, RpcMethod, RpcType
from cellserve.service.api.rpc import Refusals, Rpc, RpcKind
from cellserve.service.api.status import ending_of
from cellserve.service.api.submission.requests_at_door import RequestsAtDoor
from cellserve.service.api.trace import Tracer
from cellserve.service.errors import InvalidInput, NotOffered

Behaviour = Callable[..., Any]
Parse = Callable[[bytes], Any] | None  # None: of a stream, whose messages are parsed as they are read
Handler = Any  # grpc.RpcMethodHandler; its fields are not typed

_NO_REPLY: Final = None  # of a call that ends with a status other than OK: gRPC sends no message then


class _Gated(NamedTuple):
    """A method whose calls may be refused unread. handler: without the guard, which looks at each call before."""

    kind: RpcKind
    guard: Guard | None
    handler: Handler


class Methods:
    """Every method of the server, those of health and reflection too.

    The generated add_…_to_server functions take it in place of the server; a front takes it as its Calls.
    inference: full names of the methods of which each call is one inference request, told to the observer as such.
    live: those of them that go to live sequences, and are always read. access: who may call what. at_door: told of each call
    that is an inference request. proxies: whose ids of requests are believed; None: nobody's. tracer None: nothing is traced.
    """

    def __init__(
        self,
        observer: DoorObserver,
        inference: Collection[str],
        live: Collection[str],
        access: Access,
        at_door: RequestsAtDoor,
        refusals: Refusals,
        proxies: Proxies | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._proxied_id = (proxies or Proxies()).request_id
        self._tracer = tracer
        self._observer = observer
        self._inference = inference
        self._live = live
        self._at_door = at_door
        self._refusals = refusals
        self._gated: dict[str, _Gated] = {}  # by name
        self._access = access
        self._ids = RequestIds()
        self._handlers: dict[str, Handler] = {}
        self._moved_seconds = float("-inf")  # when a call came or was answered

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        for method, handler in handlers.items():
            name = f"/{service}/{method}"
            kind = RpcKind(RpcMethod(_rpc_type(handler), service, method), name in self._inference, name in ADMINISTRATION)
            guard = self._access.guard(name)
            self._handlers[name] = self._wrap(handler, kind, guard)
            if kind.inference and name not in self._live:
                self._gated[name] = _Gated(kind, guard, self._wrap(handler, kind, None))

    def add_generic_rpc_handlers(self, handlers: Sequence[object]) -> None:
        """Generated code gives the same handlers by name as well, which is all that is needed."""

    def gated(self, name: str) -> bool:
        return not self._refusals.gate.open and name in self._gated

    def handler(self, name: str) -> Handler:
        self._moved_seconds = time.monotonic()
        if name in self._inference:
            self._at_door.tell(self._moved_seconds)
        return self._handlers.get(name)

    def let_in(self, name: str, caller: Caller, waited_seconds: float = 0.0) -> Handler:
        self._moved_seconds = time.monotonic()
        gated = self._gated[name]
        ending = self._refusals.turning_away.ending(gated.kind.method, caller, gated.guard, waited_seconds)
        if ending is not None:
            return ending
        self._at_door.tell(self._moved_seconds)
        return gated.handler

    def given_up(self, name: str) -> Ending | None:
        gated = self._gated.get(name)
        if gated is None or self._refusals.gate.open:
            return None
        return self._refusals.turning_away.given_up(gated.kind.method)

    def not_offered(self, name: str) -> Ending:
        return ending_of(NotOffered(f"this server does not offer {name[:256]}"), self._ids.next())

    async def quiet(self, seconds: float, longest_seconds: float) -> None:
        """Waits until no call has come or been answered for so long; at most `longest_seconds`."""
        end = time.monotonic() + longest_seconds
        while (now := time.monotonic()) < min(end, self._moved_seconds + seconds):
            await asyncio.sleep(min(end, self._moved_seconds + seconds) - now)

    def _wrap(self, handler: Handler, of: RpcKind, guard: Guard | None) -> Handler:
        if not _is_written(handler):
            return grpc.unary_unary_rpc_method_handler(self._unary(*_guarded(guard, _refuse(of.method.method), None), of))
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(
                self._unary(*_guarded(guard, handler.unary_unary, handler.request_deserializer), of),
                response_serializer=handler.response_serializer,
            )
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(_guarded_stream(guard, handler.unary_stream), of),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.stream_unary:
            return grpc.stream_unary_rpc_method_handler(
                self._unary(*_guarded(guard, handler.stream_unary, None), of),
                partial(_parsed, handler.request_deserializer),
                handler.response_serializer,
            )
        return grpc.stream_stream_rpc_method_handler(
            self._stream(_guarded_stream(guard, handler.stream_stream), of),
            partial(_parsed, handler.request_deserializer),
            handler.response_serializer,
        )

    def _begun(self, context: Any, kind: RpcKind) -> Rpc:
        return Rpc(
            context,
            kind,
            self._ids.next(),
            self._observer,
            self._refusals,
            self._proxied_id,
            self._access.owner,
            self._access.use,
            self._tracer,
        )

    def _unary(self, behaviour: Behaviour, parse: Parse, kind: RpcKind) -> Behaviour:
        async def call(request: Any, context: Any) -> Any:
            rpc = self._begun(context, kind)
            rpc.enter()
            if kind.inference:
                self._at_door.begin_call()
            try:
                reply = await behaviour(_parsed(parse, request), context)
            except BaseException as error:
                if isinstance(error, Exception) and not isinstance(error, grpc.aio.AbortError):
                    rpc.refused(error)
                    return _NO_REPLY
                await rpc.failed(error)
                raise
            finally:
                if kind.inference:
                    self._at_door.end_call()
            rpc.answered()
            self._moved_seconds = time.monotonic()
            return reply

        return call

    def _stream(self, behaviour: Behaviour, kind: RpcKind) -> Behaviour:
        async def call(request: Any, context: Any) -> AsyncIterator[Any]:
            rpc = self._begun(context, kind)
            rpc.enter()
            try:
                async with aclosing(behaviour(request, context)) as replies:
                    async for reply in replies:
                        yield reply
            except BaseException as error:
                await rpc.failed(error)
                raise
            rpc.answered()

        return call


def _is_written(handler: Handler) -> bool:
    """False for a method of the proto that the servicer leaves to its generated base class, which is not asynchronous."""
    behaviour = handler.unary_unary or handler.stream_unary or handler.unary_stream or handler.stream_stream
    return inspect.iscoroutinefunction(behaviour) or inspect.isasyncgenfunction(behaviour)


def _guarded(guard: Guard | None, behaviour: Behaviour, parse: Parse) -> tuple[Behaviour, Parse]:
    """A behaviour and what parses its requests; a guarded one parses for itself, after the guard has looked."""
    if guard is None:
        return behaviour, parse

    def call(request: Any, context: Any) -> Any:
        guard(context)
        return behaviour(_parsed(parse, request), context)

    return call, None


def _guarded_stream(guard: Guard | None, behaviour: Behaviour) -> Behaviour:
    if guard is None:
        return behaviour

    def call(requests: Any, context: Any) -> Any:
        guard(context)
        return behaviour(requests, context)

    return call


def _refuse(method: str) -> Behaviour:
    async def refuse(request: bytes, context: Any) -> NoReturn:
        raise NotOffered(f"this server does not offer {method}")

    return refuse


def _rpc_type(handler: Handler) -> RpcType:
    if handler.request_streaming:
        return "bidi_stream" if handler.response_streaming else "client_stream"
    return "server_stream" if handler.response_streaming else "unary"


def _parsed(parse: Parse, request: Any) -> Any:
    if parse is None:
        return request
    try:
        return parse(request)
    except DecodeError as error:
        raise InvalidInput("the message is not a request of this method; it cannot be parsed") from error
