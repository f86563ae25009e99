"""The gRPC server: its services, its limits, and the order in which it stops. Knows no engine and no catalog but by the door."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from cellserve.service.api.access.rights import Access, LocalAdministration, TokenAccess
from cellserve.service.api.access.tls import server_credentials
from cellserve.service.api.access.tokens import read_tokens
from cellserve.service.api.door import Door
from cellserve.service.api.facts import DoorObserver
from cellserve.service.api.health import HealthServicer
from cellserve.service.api.methods import Methods, Refusals
from cellserve.service.api.open_inference.servicer import OpenInferenceServicer
from cellserve.service.api.open_inference.statistics import StatisticsSource
from cellserve.service.api.overload.acceptors import Acceptors
from cellserve.service.api.overload.gate import Gate
from cellserve.service.api.overload.loop_lag import LoopLag
from cellserve.service.api.overload.refusal_log import RefusalLog
from cellserve.service.api.typed.registry import ModelRegistryServicer
from cellserve.service.api.typed.sequences import TypedSequencesServicer
from cellserve.service.errors import ServiceError
from cellserve.service.followed_files import FollowedFiles
from cellserve.service.networks import Network
from cellserve.service.pb import cellserve_pb2, cellserve_pb2_grpc, open_inference_pb2, open_inference_pb2_grpc
from cellserve.service.registry.manifest import STABLE
from cellserve.service.registry.pointers import stand_in_words, told_apart
from cellserve.service.registry.status import VersionState
from cellserve.service.tls_files import TlsFiles
from cellserve.service.wakeups import PatientThreads

SERVICES: Final = (
    open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name,
    cellserve_pb2.DESCRIPTOR.services_by_name["Sequences"].full_name,
    cellserve_pb2.DESCRIPTOR.services_by_name["Registry"].full_name,
)
_LIVE: Final = frozenset((f"/{SERVICES[1]}/Feed",))
_INFERENCE: Final = frozenset((f"/{SERVICES[0]}/ModelInfer", f"/{SERVICES[1]}/Run", *_LIVE))
_REFLECTED: Final = (*SERVICES, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)


_QUIET_SECONDS: Final = 0.05


class CannotListen(Exception):
    """The address is taken, or not one of this machine."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Of each connection: the server pings it when it has been silent for `keepalive_seconds`, and drops it without an answer
    after `keepalive_timeout_seconds`; clients may ping every `min_ping_interval_seconds`. After `max_connection_age_seconds`
    (0: never) it is asked to come again, and cut after the grace. max_concurrent_calls: of one connection, a stream is one.
    tls None: plain text. tokens: the file of them; None: whoever reaches the server may call it, and whoever is on its machine or
    calls from administration_from may administer it.
    """

    host: str
    port: int
    max_message_bytes: int
    max_concurrent_calls: int = 4096
    keepalive_seconds: float = 120.0
    keepalive_timeout_seconds: float = 20.0
    min_ping_interval_seconds: float = 10.0
    max_connection_age_seconds: float = 0.0
    max_connection_age_grace_seconds: float = 60.0
    tls: TlsFiles | None = None
    tokens: Path | None = None
    administration_from: tuple[Network, ...] = ()


class ApiServer:
    """Build it, `bind`, `start`, `close` and `stop` it, once each. On the event loop."""

    def __init__(
        self, door: Door, observer: DoorObserver, totals: StatisticsSource, options: ServerOptions, server_version: str
    ) -> None:
        """Raises UnusableFile: one of `options`."""
        self._door = door
        self._options = options
        self._credentials = None if options.tls is None else server_credentials(options.tls)
        self.health = HealthServicer(SERVICES)
        self._observer = observer
        self._refusal_log = RefusalLog()
        self._gate = Gate()
        self._lag = LoopLag(self._on_loop)
        self._inference = OpenInferenceServicer(door, observer, totals, server_version, self._refusal_log)
        refusals = Refusals(self._gate, door.execution.turn_away, self._refusal_log)
        self._methods = Methods(observer, _INFERENCE, _LIVE, _access(options), door.execution.at_door, refusals)
        open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self._inference, self._methods)  # type: ignore[no-untyped-call]
        sequences = TypedSequencesServicer(door, observer, self._refusal_log)
        cellserve_pb2_grpc.add_SequencesServicer_to_server(sequences, self._methods)  # type: ignore[no-untyped-call]
        cellserve_pb2_grpc.add_RegistryServicer_to_server(ModelRegistryServicer(door.versions), self._methods)  # type: ignore[no-untyped-call]
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._methods)
        describing = reflection.aio.ReflectionServicer(_REFLECTED)  # type: ignore[attr-defined]
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(describing, self._methods)
        self._pollers = PatientThreads()
        with self._pollers.started():  # gRPC's poller, a tenth of all CPU under load where it interrupts the event loop
            self._server = grpc.aio.server(handlers=(self._methods,), options=_channel_options(options))
        self._acceptors = Acceptors(self._server, (self._methods,))

    def bind(self) -> int:
        """Takes the port, and returns it: the system has chosen it if 0 was asked for. Raises CannotListen."""
        address = f"{_bracketed(self._options.host)}:{self._options.port}"
        try:
            port: int = (
                self._server.add_insecure_port(address)
                if self._credentials is None
                else self._server.add_secure_port(address, self._credentials)
            )
        except RuntimeError as error:
            raise CannotListen(
                f"cannot listen on {address}: the port is taken, or the address is not one of this machine"
            ) from error
        return port

    async def start(self) -> None:
        await self._server.start()
        self._acceptors.start()
        self._lag.start()

    def show_models(self) -> None:
        """Brings health, and what is remembered of versions, up to date with the catalog."""
        versions = self._door.versions
        statuses = versions.index()
        self._door.signatures.keep_only({status.key for status in statuses if status.state is not VersionState.UNLOADED})
        serving: dict[str, bool] = {}
        details: dict[str, str] = {}
        for status in statuses:
            serving[f"{status.model}/{status.version}"] = status.state is VersionState.READY
            serving[status.model] = versions.ready(status.model)
        for one in versions.aliases():
            if one.alias:
                serving[one.name] = not one.fallen_back and versions.ready(one.model, one.alias)
        for one in told_apart(versions.aliases()):
            words = f"{one.model}/{one.answering} {stand_in_words(one)}"
            details[one.name] = words
            if one.alias == STABLE:
                details[one.model] = words
        self.health.set_models(serving, details)

    def leave(self) -> None:
        """Not ready any more, so that load balancers turn away; what comes is still taken."""
        self.health.close()
        self._door.execution.leave()

    def close(self, reason: ServiceError | None = None) -> None:
        """Not ready any more, and nothing new is taken; what was taken goes on."""
        self.health.close()
        self._door.execution.close(reason)

    async def stop(self, grace_seconds: float) -> None:
        """Ends once no call is left, or after `grace_seconds`, when the rest is cut off. Open streams are told to end.

        gRPC drops calls that come while it stops: whoever was just answered, and asks again, is refused in words before it.
        """
        await self._methods.quiet(_QUIET_SECONDS, grace_seconds)
        self._inference.end_streams()
        self._lag.stop()
        await self._server.stop(grace_seconds)

    def _on_loop(self, now_seconds: float, busy: float, lag_seconds: float) -> None:
        self._gate.measured(now_seconds, busy, lag_seconds)
        self._pollers.hurry(not self._gate.open)  # each call that is refused needs them, and no core is idle then
        self._refusal_log.settle()
        self._observer.on_loop(lag_seconds)


def _access(options: ServerOptions) -> Access:
    tokens = options.tokens
    if tokens is None:
        return LocalAdministration(options.administration_from)
    return TokenAccess(FollowedFiles((tokens,), partial(read_tokens, tokens)).current)


def _channel_options(options: ServerOptions) -> list[tuple[str, int]]:
    given = [
        ("grpc.max_receive_message_length", options.max_message_bytes),
        ("grpc.max_send_message_length", options.max_message_bytes),
        ("grpc.max_concurrent_streams", options.max_concurrent_calls),
        ("grpc.so_reuseport", 0),  # two servers on one port would share its calls silently
        ("grpc.keepalive_time_ms", _milliseconds(options.keepalive_seconds)),
        ("grpc.keepalive_timeout_ms", _milliseconds(options.keepalive_timeout_seconds)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _milliseconds(options.min_ping_interval_seconds)),
    ]
    if options.max_connection_age_seconds:
        given += [
            ("grpc.max_connection_age_ms", _milliseconds(options.max_connection_age_seconds)),
            ("grpc.max_connection_age_grace_ms", _milliseconds(options.max_connection_age_grace_seconds)),
        ]
    return given


def _milliseconds(seconds: float) -> int:
    return max(1, round(1000 * seconds))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
