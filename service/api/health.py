"""grpc.health.v1: the whole server as "", each service by its name, models as `<model>`, versions as `<model>/<version>` and
aliases as `<model>@<alias>`. A check also says in its trailing metadata what is wrong with what serves all the same.

Knows no catalog: it is told. Of its own, because names here come and go, several clients watch one name, and a watch must end
when the server does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

Status = health_pb2.HealthCheckResponse

WHOLE_SERVER = ""
DETAIL_KEY: Final = "cellserve-health-detail"  # of trailing metadata
_LONGEST_DETAIL: Final = 2000  # characters: gRPC bounds what metadata may carry


class HealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Lives on the event loop."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = frozenset((WHOLE_SERVER, *services))
        self._statuses = dict.fromkeys(self._services, Status.SERVING)
        self._details: Mapping[str, str] = {}
        self._changed = asyncio.Event()  # set, and replaced, at each change
        self._closed = False

    def set_models(self, serving: Mapping[str, bool], details: Mapping[str, str] | None = None) -> None:
        """Replace every name that is not a service's: True is SERVING, False NOT_SERVING, absent unknown.

        details: what is wrong, by name; all together is what is wrong with the whole server.
        """
        if self._closed:
            return
        self._details = dict(details or {})
        if self._details:
            self._details = {WHOLE_SERVER: "; ".join(dict.fromkeys(self._details.values())), **self._details}
        services = {name: self._statuses[name] for name in self._services}
        models = {name: Status.SERVING if ready else Status.NOT_SERVING for name, ready in serving.items()}
        self._tell(models | services)

    def set_service(self, name: str, serving: bool) -> None:
        """name: one of the services."""
        if not self._closed:
            self._tell({**self._statuses, name: Status.SERVING if serving else Status.NOT_SERVING})

    def close(self) -> None:
        """Everything is NOT_SERVING from now on, and watches end."""
        self._closed = True
        self._tell(dict.fromkeys(self._statuses, Status.NOT_SERVING))

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> health_pb2.HealthCheckResponse:
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"nothing here is named {request.service[:128]!r}")
        if detail := self._details.get(request.service):
            told = detail.encode("ascii", "backslashreplace").decode()
            line = "".join(character if character.isprintable() else " " for character in told)
            context.set_trailing_metadata((*(context.trailing_metadata() or ()), (DETAIL_KEY, line[:_LONGEST_DETAIL])))
        return Status(status=status)

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Any) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """The status now and at every change; SERVICE_UNKNOWN for a name that is not there (yet)."""
        told = None
        while True:
            changed = self._changed
            status = self._statuses.get(request.service, Status.SERVICE_UNKNOWN)
            if status != told:
                yield Status(status=status)
                told = status
            if self._closed:
                return
            if changed is self._changed:
                await changed.wait()

    def _tell(self, statuses: dict[str, Any]) -> None:
        self._statuses = statuses
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
