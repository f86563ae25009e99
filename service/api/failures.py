"""What a client is told of an exception. One that is not a ServiceError becomes a neutral sentence; its cause goes to the log."""

from __future__ import annotations

import logging

from cellserve.service.errors import InternalFailure, ServiceError

_log = logging.getLogger(__name__)


def told(error: BaseException, request_id: str) -> ServiceError:
    """`error` itself where it was made for users."""
    if isinstance(error, ServiceError):
        return error
    _log.error("request %s failed", request_id, exc_info=error, extra={"request_id": request_id})
    return InternalFailure(f"the server failed at this request; its log tells why under request id {request_id}")
