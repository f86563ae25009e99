"""Cases for the door: requests right, wrong in one way, wrong in several; damaged bytes; every method; streams; live sequences.

`generate` makes them with hypothesis, from a seed alone: the same seed, targets and count give the same cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from cellserve.service.pb import cellserve_pb2 as typed
from cellserve.service.pb import open_inference_pb2 as oip
from tests.fuzz import infer_requests, run_requests
from tests.fuzz.cases import INFER, INFERENCE, PERMITTED, PERMITTED_OF_SEQUENCES, RUN, STREAMS, TYPED, Case, Story
from tests.fuzz.damage import damaged, lookalikes
from tests.fuzz.stories import stories, varint
from tests.fuzz.targets import Target
from tests.fuzz.values import NAMES, VERSIONS

_MUTATIONS: Final = (0, 1, 1, 1, 1, 2, 3, 4)  # of one request

_REGISTRY: Final = "/cellserve.v1.Registry/"
# Methods beside inference whose requests begin with a name (1) and a version (2), or take anything.
_OTHERS: Final = (
    *(INFERENCE + name for name in ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelConfig")),
    *(INFERENCE + name for name in ("ModelStatistics", "RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload")),
    *(INFERENCE + name for name in ("SystemSharedMemoryStatus", "SystemSharedMemoryRegister", "SystemSharedMemoryUnregister")),
    *(INFERENCE + name for name in ("CudaSharedMemoryStatus", "CudaSharedMemoryRegister", "CudaSharedMemoryUnregister")),
    *(INFERENCE + name for name in ("TraceSetting", "LogSettings", "Nothing")),
    *(_REGISTRY + name for name in ("List", "Show", "SetAlias", "Nothing")),
    *(TYPED + name for name in ("Open", "Feed", "Get", "List", "Snapshot", "Restore", "Fork", "Close", "Nothing")),
    "/inference.Nobody/ModelInfer",
)


@st.composite
def _structured(draw: st.DrawFn, target: Target) -> Case:
    """A request of either protocol, mutated up to four times. What one mutation may lead to is known exactly."""
    method, module = draw(st.sampled_from(((INFER, infer_requests), (RUN, run_requests))))
    request: Any = draw(module.good(target))
    how_many = draw(st.sampled_from(_MUTATIONS))
    mutations = [draw(st.sampled_from(module.MUTATIONS)) for _ in range(how_many)]
    codes: list[frozenset[str]] = []
    what: list[str] = []
    for mutate in mutations:
        if not module.is_sound(request):
            break
        led_to = mutate(draw, request)
        if led_to:
            what.append(mutate.__name__.removeprefix("_"))
            codes.append(led_to)
    allowed = (infer_requests.OK, *codes)[-1] if len(codes) < 2 else PERMITTED
    return Case(method, (request.SerializeToString(),), tuple(what) or ("good",), allowed)


@st.composite
def _damaged(draw: st.DrawFn, target: Target) -> Case:
    method, module = draw(st.sampled_from(((INFER, infer_requests), (RUN, run_requests))))
    request: Any = draw(module.good(target))
    return Case(method, (draw(damaged(request.SerializeToString())),), ("damaged",))


@st.composite
def _raw(draw: st.DrawFn) -> Case:
    method = draw(st.sampled_from((INFER, RUN, *_OTHERS)))
    return Case(method, (draw(st.binary(max_size=64) | lookalikes()),), ("raw",), PERMITTED_OF_SEQUENCES)


@st.composite
def _asking(draw: st.DrawFn) -> Case:
    """Methods beside inference, with names that no model has."""
    request = oip.ModelMetadataRequest(name=draw(NAMES), version=draw(VERSIONS | st.just("")))
    return Case(draw(st.sampled_from(_OTHERS)), (request.SerializeToString(),), ("names",), PERMITTED_OF_SEQUENCES)


@st.composite
def _streamed(draw: st.DrawFn, target: Target) -> Case:
    """Several requests on one stream, some right and some not."""
    method = draw(st.sampled_from(STREAMS))
    messages = []
    for case in draw(st.lists(_structured(target) | _damaged(target), min_size=1, max_size=4)):
        (message,) = case.messages
        if method == STREAMS[1] and case.method == RUN:
            envelope = typed.StreamRequest(id=draw(st.sampled_from(("", "1", "2"))))
            message = envelope.SerializeToString() + b"\x1a" + varint(len(message)) + message  # the field `run`
        messages.append(message)
    return Case(method, tuple(messages), ("stream",))


def cases(targets: Sequence[Target]) -> st.SearchStrategy[Case | Story]:
    chosen = st.sampled_from(targets)
    return st.one_of(
        chosen.flatmap(_structured),
        chosen.flatmap(_structured),
        chosen.flatmap(_structured),
        chosen.flatmap(_damaged),
        chosen.flatmap(_streamed),
        chosen.flatmap(stories),
        chosen.flatmap(stories),
        chosen.flatmap(stories),
        _raw(),
        _asking(),
    )


def generate(targets: Sequence[Target], count: int, seed_number: int) -> list[Case | Story]:
    """Stories are of one sequence each, which no other story of any seed names."""
    made: list[Case | Story] = []

    @seed(seed_number)
    @settings(
        max_examples=count, database=None, deadline=None, phases=(Phase.generate,), suppress_health_check=tuple(HealthCheck)
    )
    @given(cases(targets))
    def keep(case: Case | Story) -> None:
        name = f"{seed_number:016}{len(made):016}".encode()
        made.append(case.named(name) if isinstance(case, Story) else case)

    keep()
    return made
