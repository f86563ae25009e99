"""One `cellserve serve` of a cluster on this machine."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Final

from cellserve.service.client import AsyncClient
from cellserve.service.cluster.child import Child
from cellserve.service.cluster.envoy.plan import Endpoint
from cellserve.service.cluster.folder import Folder
from cellserve.service.cluster.serving import ANSWER_SECONDS, listening, until_unwell
from cellserve.service.cluster.settings import INTERNAL_NAME
from cellserve.service.tls_files import TlsFiles

SERVE: Final = (sys.executable, "-m", "cellserve.service", "serve")


class Replica:
    """options: of `cellserve serve`. Where it listens is known when it is ready, and another in each of its lives. A Program.

    internal: what it shows, and is shown.
    """

    def __init__(
        self,
        name: str,
        folder: Folder,
        options: Sequence[str],
        environment: Mapping[str, str],
        drain_seconds: float,
        internal: TlsFiles | None = None,
    ) -> None:
        self.name = name
        self.drain_seconds = drain_seconds
        self.endpoint: Endpoint | None = None
        self.metrics_url = ""
        self._folder = folder
        self._command = (*SERVE, *options)
        self._environment = environment
        self._internal = internal

    @property
    def url(self) -> str:
        return "" if self.endpoint is None else f"{self.endpoint.host}:{self.endpoint.port}"

    async def start(self) -> Child:
        self.endpoint, self.metrics_url = None, ""
        return await Child.start(self._command, self._folder.log(self.name), self._environment)

    async def ready(self, child: Child) -> bool:
        if (found := await listening(child)) is None:
            return False
        self.endpoint = Endpoint(self.name, found.host, found.port)
        self.metrics_url = f"http://{found.host}:{found.metrics_port}/metrics"
        return True

    async def unwell(self, child: Child) -> None:
        if not self.url:
            return
        async with self._client() as client:
            await until_unwell(lambda: client.ready(ANSWER_SECONDS))

    def _client(self) -> AsyncClient:
        if self._internal is None:
            return AsyncClient(self.url)
        files = self._internal.read()
        return AsyncClient(
            self.url,
            root_certificates=files.client_authorities,
            client_certificate=files.certificate_chain,
            client_key=files.private_key,
            server_name=INTERNAL_NAME,
        )
