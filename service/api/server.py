"""The server: its services, its front, and the order in which it stops. Knows no engine and no catalog but by the door."""

from __future__ import annotations

from functools import partial
from typing import Final

from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from cellserve.service.api.access import administration
from cellserve.service.api.access.proxies import Proxies
from cellserve.service.api.access.rights import Access, LocalAdministration, TokenAccess
from cellserve.service.api.access.tokens import read_tokens
from cellserve.service.api.call_context import Caller
from cellserve.service.api.door import Door, Publishing, Walking
from cellserve.service.api.facts import DoorObserver
from cellserve.service.api.fronts.choice import front_of
from cellserve.service.api.fronts.options import ServerOptions
from cellserve.service.api.health import HealthServicer
from cellserve.service.api.methods import Methods
from cellserve.service.api.open_inference import registration
from cellserve.service.api.open_inference.servicer import OpenInferenceServicer
from cellserve.service.api.open_inference.statistics import StatisticsSource
from cellserve.service.api.overload.gate import Gate
from cellserve.service.api.overload.loop_lag import LoopLag
from cellserve.service.api.overload.turning_away import TurningAway
from cellserve.service.api.rpc import Refusals
from cellserve.service.api.trace import Tracer
from cellserve.service.api.typed.change_log import ChangeLog
from cellserve.service.api.typed.registry import ModelRegistryServicer
from cellserve.service.api.typed.sequences import TypedSequencesServicer
from cellserve.service.counted_log import CountedLog
from cellserve.service.errors import ServiceError
from cellserve.service.followed_files import FollowedFiles
from cellserve.service.pb import cellserve_pb2, cellserve_pb2_grpc, open_inference_pb2
from cellserve.service.registry.answering.pointers import stand_in_words, told_apart
from cellserve.service.registry.manifest import STABLE
from cellserve.service.registry.status import VersionState

SERVICES: Final = (
    open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name,
    cellserve_pb2.DESCRIPTOR.services_by_name["Sequences"].full_name,
    cellserve_pb2.DESCRIPTOR.services_by_name["Registry"].full_name,
)
_LIVE: Final = frozenset((f"/{SERVICES[1]}/Feed",))
_INFERENCE: Final = frozenset((f"/{SERVICES[0]}/ModelInfer", f"/{SERVICES[1]}/Run", *_LIVE))
_REFLECTED: Final = (*SERVICES, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)


LIVE_SEQUENCES: Final = f"{SERVICES[1]}/live"  # in health: whether feeds are answered
_QUIET_SECONDS: Final = 0.05
_REFUSED: Final = "overload: %(total)d requests refused and told when to come again (%(causes)s)"


class ApiServer:
    """Build it, `bind`, `start`, `close` and `stop` it, once each. On the event loop."""

    def __init__(
        self,
        door: Door,
        publishing: Publishing,
        walking: Walking,
        observer: DoorObserver,
        totals: StatisticsSource,
        options: ServerOptions,
        server_version: str,
        tracer: Tracer | None = None,
    ) -> None:
        """tracer None: nothing is traced. Raises UnusableFile: one of `options`."""
        self._door = door
        self.health = HealthServicer((*SERVICES, LIVE_SEQUENCES))
        self._troubles: dict[str, str] = {}  # of the server itself, by name
        self._observer = observer
        self._refusal_log = CountedLog(_REFUSED)
        self._gate = Gate()
        self._lag = LoopLag(self._on_loop)
        access = _access(options)

        def named(caller: Caller, called: str = "") -> str:
            return administration.named(access.owner(caller), called, caller.peer())

        self._inference = OpenInferenceServicer(door, publishing, named, observer, totals, server_version, self._refusal_log)
        self._turning_away = TurningAway(
            self._gate, door.execution.expects, door.execution.turn_away, self._refusal_log, observer
        )
        refusals = Refusals(self._gate, self._turning_away, self._refusal_log)
        self._changes = ChangeLog()
        proxies = Proxies(options.request_ids_from)
        self._methods = Methods(observer, _INFERENCE, _LIVE, access, door.execution.at_door, refusals, proxies, tracer)
        registration.register(self._inference, self._methods)
        sequences = TypedSequencesServicer(door, observer, self._refusal_log)
        cellserve_pb2_grpc.add_SequencesServicer_to_server(sequences, self._methods)  # type: ignore[no-untyped-call]
        registry = ModelRegistryServicer(door.versions, publishing, walking, door.samples, self._changes, named)
        cellserve_pb2_grpc.add_RegistryServicer_to_server(registry, self._methods)  # type: ignore[no-untyped-call]
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._methods)
        describing = reflection.aio.ReflectionServicer(_REFLECTED)  # type: ignore[attr-defined]
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(describing, self._methods)
        self._front = front_of(self._methods, options, observer)

    def bind(self) -> int:
        """Takes the port, and returns it: the system has chosen it if 0 was asked for. Raises CannotListen."""
        return self._front.bind()

    async def start(self) -> None:
        await self._front.start()
        self._lag.start()

    def show_models(self) -> None:
        """Brings health, and what is remembered of versions, up to date with the catalog."""
        versions = self._door.versions
        statuses = versions.index()
        self._changes.update(statuses, versions.aliases())
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
        self.health.set_models(serving, self._troubles | details)

    def show_store(self, trouble: str | None) -> None:
        """trouble: why feeds of live sequences are refused while all else is answered; None: they are not."""
        self._troubles = {} if trouble is None else {LIVE_SEQUENCES: f"live sequences are refused: {trouble}"}
        self.health.set_service(LIVE_SEQUENCES, trouble is None)
        self.show_models()

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
        self._changes.close()
        self._lag.stop()
        await self._front.stop(grace_seconds)

    def _on_loop(self, now_seconds: float, busy: float, lag_seconds: float) -> None:
        self._gate.measured(now_seconds, busy, max(lag_seconds, self._front.behind_seconds()))
        self._door.execution.lagging(self._gate.lag_seconds)
        self._front.press(not self._gate.open)
        self._turning_away.settle()
        self._refusal_log.settle()
        self._observer.on_loop(lag_seconds)


def _access(options: ServerOptions) -> Access:
    tokens = options.tokens
    if tokens is None:
        return LocalAdministration(options.administration_from)
    return TokenAccess(FollowedFiles((tokens,), partial(read_tokens, tokens)).current)
