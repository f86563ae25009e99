"""The methods of the Open Inference Protocol as a server takes them: those of the generated code, but for ModelInfer's messages.

These are read and written as bytes where they are of the usual kind (request_bytes.py, reply_bytes.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import grpc
from google.protobuf.message import Message

from cellserve.service.api.open_inference.servicer import OpenInferenceServicer
from cellserve.service.api.open_inference.usual.request_bytes import RequestReader
from cellserve.service.pb import open_inference_pb2_grpc

_READ_AS_BYTES = "ModelInfer"


class TakesHandlers(Protocol):
    """As the generated code has it."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None: ...


class _Registration:
    """What the generated code takes for a server."""

    def __init__(self, methods: TakesHandlers) -> None:
        self._methods = methods

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        infer = grpc.unary_unary_rpc_method_handler(handlers[_READ_AS_BYTES].unary_unary, RequestReader().read, serialized)
        self._methods.add_registered_method_handlers(service, {**handlers, _READ_AS_BYTES: infer})

    def add_generic_rpc_handlers(self, handlers: Sequence[object]) -> None:
        """The same handlers once more, as Methods has it."""


def serialized(reply: Message | bytes) -> bytes:
    """What are bytes already stays as it is."""
    return reply if isinstance(reply, bytes) else reply.SerializeToString()


def register(servicer: OpenInferenceServicer, methods: TakesHandlers) -> None:
    open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, _Registration(methods))  # type: ignore[no-untyped-call]
