"""Handlers that may answer a call before gRPC has received its message. Knows no gate: the methods are asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import grpc

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
        handler = self._calls.handler(name)
        if handler is None or not self._calls.gated(name):
            return handler
        gated = self._gated.get(name)
        if gated is None:
            gated = self._gated[name] = self._behind_gate(name, handler)
        return gated

    def _behind_gate(self, name: str, handler: Any) -> Any:
        """The handler of a unary method as one that has not received the message yet."""

        async def call(requests: AsyncIterator[bytes], context: Any) -> Any:
            ending = self._calls.turned_away(name, context)
            if ending is not None:
                context.set_code(ending.code)
                context.set_details(ending.details)
                context.set_trailing_metadata(ending.trailing)
                return _NO_REPLY
            async for request in requests:
                return await handler.unary_unary(request, context)
            context.set_code(grpc.StatusCode.CANCELLED)
            context.set_details("the call ended before its request had come")
            return _NO_REPLY

        return grpc.stream_unary_rpc_method_handler(call, response_serializer=handler.response_serializer)
