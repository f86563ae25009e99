"""Handlers that may answer a call before gRPC has received its message. Knows no gate: the methods are asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import grpc

from cellserve.service.api.call_context import Ending
from cellserve.service.api.fronts.front import Calls

_NO_REPLY: Final = None  # of a call that ends with a status other than OK: gRPC sends no message then


class GatedHandlers(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """The server's one generic handler."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._gated: dict[str, Any] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """None, by which gRPC answers UNIMPLEMENTED, for a method that is in no proto."""
        name = handler_call_details.method
        if not self._calls.gated(name):
            return self._calls.handler(name)
        gated = self._gated.get(name)
        if gated is None:
            gated = self._gated[name] = self._behind_gate(name)
        return gated

    def _behind_gate(self, name: str) -> Any:
        """The handler of a unary method as one that has not received the message yet. Its reply is bytes."""

        async def call(requests: AsyncIterator[bytes], context: Any) -> Any:
            handler = self._calls.let_in(name, context)
            if isinstance(handler, Ending):
                context.set_code(handler.code)
                context.set_details(handler.details)
                context.set_trailing_metadata(handler.trailing)
                return _NO_REPLY
            async for request in requests:
                reply = await handler.unary_unary(request, context)
                return _NO_REPLY if reply is None else handler.response_serializer(reply)
            context.set_code(grpc.StatusCode.CANCELLED)
            context.set_details("the call ended before its request had come")
            return _NO_REPLY

        return grpc.stream_unary_rpc_method_handler(call)
