"""Every series that the server shows of itself: name, kind, meaning, labels, buckets. The one place of their names.

docs/metrics.md is written from this table, and rules and dashboards are held against it. Knows nobody who counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]


class Family(NamedTuple):
    """name: a counter's without the `_total` that is shown. buckets: of a histogram, their upper ends, rising."""

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def shown_name(self) -> str:
        return f"{self.name}_total" if self.kind == "counter" else self.name

    @property
    def sample_names(self) -> tuple[str, ...]:
        """What a query may ask for."""
        if self.kind == "histogram":
            return tuple(f"{self.name}_{part}" for part in ("bucket", "count", "sum"))
        return (self.shown_name,)


SECONDS: Final = (50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
LAG_SECONDS: Final = (1e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)
PART_SECONDS: Final = (100e-6, 500e-6, 2.5e-3, 0.01, 0.05, 0.25, 2.5)
ITERATION: Final = (100e-6, 500e-6, 2.5e-3, 5e-3, 0.01, 0.05)
LOAD_SECONDS: Final = (0.1, 1.0, 10.0, 60.0)
PAUSE_SECONDS: Final = (100e-6, 1e-3, 0.01, 0.1, 1.0)
STEPS: Final = tuple(float(4**power) for power in range(6))
ROWS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 64.0)
RECORDS: Final = tuple(float(2**power) for power in range(10))
PREDICTED: Final = (0.5, 0.8, 1.0, 1.25, 2.0)
DIFFERENCES: Final = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1.0)
RATIO: Final = (0.0, 0.1, 0.25, 0.5)

_VERSION: Final = ("model", "version")
_RUN: Final = (*_VERSION, "implementation")
_RPC: Final = ("grpc_type", "grpc_service", "grpc_method")
_ALIAS: Final = ("model", "alias")


def _counter(name: str, text: str, labels: tuple[str, ...] = ()) -> Family:
    return Family(name, "counter", text, labels)


def _gauge(name: str, text: str, labels: tuple[str, ...] = ()) -> Family:
    return Family(name, "gauge", text, labels)


def _histogram(name: str, text: str, buckets: tuple[float, ...], labels: tuple[str, ...] = ()) -> Family:
    return Family(name, "histogram", text, labels, buckets)


REQUESTS: Final = _counter("cellserve_requests", "Inference requests by gRPC status.", (*_RUN, "code"))
REQUEST_SECONDS: Final = _histogram(
    "cellserve_request_duration_seconds", "Answered requests, from the door to the reply.", SECONDS, _RUN
)
QUEUE_SECONDS: Final = _histogram(
    "cellserve_queue_duration_seconds", "Answered requests: the wait for their first iteration.", PART_SECONDS, _RUN
)
COMPUTE_SECONDS: Final = _histogram(
    "cellserve_compute_duration_seconds", "Answered requests: their share of their iterations.", PART_SECONDS, _RUN
)
CANCELLED: Final = _counter("cellserve_cancelled", "Inference requests that the client gave up.", _RUN)
SEQUENCES: Final = _counter("cellserve_sequence_ended", "Sequences (rows of requests) by their end.", (*_RUN, "reason"))
REJECTED: Final = _counter("cellserve_rejected", "Inference requests turned away at the door.", ("reason",))
REJECTED_BY_TOKEN: Final = _counter(
    "cellserve_rejected_by_token",
    "Inference requests turned away at the door by whose token they carried, as the file of tokens says, or else its role; "
    "empty: none that is known. Calls that there was no time to read are not among them.",
    ("reason", "token"),
)

ITERATION_SECONDS: Final = _histogram("cellserve_iteration_duration_seconds", "One batch advanced by one chunk.", ITERATION, _RUN)
ITERATION_ROWS: Final = _histogram("cellserve_iteration_rows", "Sequences side by side in an iteration.", ROWS, _RUN)
ITERATION_STEPS: Final = _histogram("cellserve_iteration_steps", "Time steps of an iteration.", STEPS, _RUN)
ITERATION_PADDING: Final = _histogram("cellserve_iteration_padding_ratio", "The padded share of rows times steps.", RATIO, _RUN)
TIMESTEPS: Final = _counter("cellserve_timesteps", "Time steps computed, without padding.", _RUN)
WAITING: Final = _gauge("cellserve_waiting_timesteps", "Time steps accepted and not yet computed.", _VERSION)
ACTIVE: Final = _gauge("cellserve_active_sequences", "Sequences with a row of state.", _VERSION)
STATE_ROWS: Final = _gauge("cellserve_state_rows", "Rows of the state pool.", (*_VERSION, "state"))

GOODPUT: Final = _counter(
    "cellserve_goodput_timesteps", "Time steps of the sequences that were answered, within their deadlines.", _RUN
)
PREDICTION: Final = _histogram(
    "cellserve_prediction_ratio",
    "What sequences took, wait included, as a part of what was predicted: above 1 the prediction was not kept.",
    PREDICTED,
    _RUN,
)
OVERLOAD: Final = _counter("cellserve_overload_refused", "Requests refused for overload, by what was short.", ("cause",))
LOOP_LAG: Final = _histogram("cellserve_event_loop_lag_seconds", "How late the event loop comes to what is due.", LAG_SECONDS)

LOAD: Final = _histogram("cellserve_model_load_duration_seconds", "Reading, verifying, warming.", LOAD_SECONDS, _VERSION)
LOADS: Final = _counter(
    "cellserve_model_loads", "Loads of versions of a model, by how they ended: ready or failed.", ("model", "result")
)
MODEL_STATE: Final = _gauge("cellserve_model_state", "1 for the state a version is in.", (*_VERSION, "state"))
REPOSITORY_AVAILABLE: Final = _gauge(
    "cellserve_repository_available", "0 while the repository cannot be read; what is loaded goes on being served."
)
ALIAS_VERSION: Final = _gauge("cellserve_alias_version", "The version that answers an alias; 0: none does.", _ALIAS)
ALIAS_SWAPS: Final = _counter("cellserve_alias_swaps", "How often another version has come to answer an alias.", _ALIAS)
ALIAS_FALLBACK: Final = _gauge(
    "cellserve_alias_fallback",
    "1 while an alias is answered by the last version that served, because the one that it names cannot be; else 0.",
    _ALIAS,
)
ALIAS_SHARE: Final = _gauge(
    "cellserve_alias_share", "Share of an alias' requests that a version answers, of those that are split.", (*_ALIAS, "version")
)
ROLLOUT_PROGRESS: Final = _gauge(
    "cellserve_rollout_progress_ratio",
    "How much of its time a gradual promote of an alias has walked; only while it walks.",
    _ALIAS,
)
ROLLOUTS: Final = _counter(
    "cellserve_rollouts",
    "Gradual promotes that ended: promoted, rolled_back by a bound, or ended because somebody moved the alias.",
    (*_ALIAS, "result"),
)
SHADOWED: Final = _counter(
    "cellserve_shadow_requests",
    "Answered requests that were to run on another version (shadow) besides: compared, failed there, dropped for want of "
    "idle time, not_ready or unlike (other inputs or shapes).",
    (*_VERSION, "shadow", "result"),
)
SHADOW_DIFFERENCE: Final = _histogram(
    "cellserve_shadow_difference",
    "Shadow runs: the largest difference of any number from what was answered.",
    DIFFERENCES,
    (*_VERSION, "shadow"),
)
SHADOW_SECONDS: Final = _histogram(
    "cellserve_shadow_compute_duration_seconds",
    "Shadow runs: their share of their iterations.",
    PART_SECONDS,
    (*_VERSION, "shadow"),
)
CHOICE: Final = _gauge(
    "cellserve_implementation_choice_info",
    "1: the implementation that requests of this kind of traffic get unless they name one.",
    (*_VERSION, "kind", "implementation"),
)
WEIGHTS_BYTES: Final = _gauge(
    "cellserve_version_weights_bytes",
    "Weights of a loaded version, as they are on disk; implementations hold copies beside, laid out as they need them.",
    _VERSION,
)
COPIES_BYTES: Final = _gauge(
    "cellserve_version_copies_bytes",
    "What implementations made of the weights of a loaded version, in main memory, as they need it (docs/registry.md).",
    _VERSION,
)
MEMORY_BUDGET: Final = _gauge("cellserve_memory_budget_bytes", "Memory for loaded versions, --memory-bytes; 0: any amount.")
STATES_BYTES: Final = _gauge(
    "cellserve_version_states_bytes", "The state pools of a loaded version, of all workers, used rows or not.", _VERSION
)

SESSIONS: Final = _gauge("cellserve_sessions", "Live sequences; parked: their states are on disk.", (*_VERSION, "state"))
SESSION_BYTES: Final = _gauge(
    "cellserve_session_states_bytes", "Memory for the states of live sequences; parked ones take none.", _VERSION
)
SESSION_EVENTS: Final = _counter("cellserve_session_events", "What became of live sequences.", (*_VERSION, "event"))
SESSION_STEPS: Final = _histogram(
    "cellserve_session_step_duration_seconds", "Feeds of live sequences, from the door to the reply.", PART_SECONDS, _VERSION
)
STORE_SECONDS: Final = _histogram(
    "cellserve_session_store_duration_seconds", "Answers of the session store.", SECONDS, ("operation",)
)
STORE_RECORDS: Final = _histogram(
    "cellserve_session_store_records", "Records in one call of the session store.", RECORDS, ("operation",)
)
STORE_AVAILABLE: Final = _gauge("cellserve_session_store_available", "0 while the session store cannot be used.")
STORE_DEGRADED: Final = _counter("cellserve_session_store_degraded_seconds", "Time in which the session store could not be used.")
STORE_SEQUENCES: Final = _gauge("cellserve_session_store_sequences", "Live sequences of all replicas.")

RPC_STARTED: Final = _counter("grpc_server_started", "RPCs started.", _RPC)
RPC_HANDLED: Final = _counter("grpc_server_handled", "RPCs ended, by gRPC status.", (*_RPC, "grpc_code"))
RPC_SECONDS: Final = _histogram("grpc_server_handling_seconds", "RPCs handled.", SECONDS, _RPC)
OPEN_CALLS: Final = _gauge("cellserve_open_calls", "RPCs started and not ended; streams are those of the type bidi_stream.", _RPC)
CONNECTIONS: Final = _gauge("cellserve_connections", "Connections open at the front on frames.")
CONNECTION_ENDS: Final = _counter("cellserve_connections_ended", "Connections ended, by who or what did.", ("cause",))
CERTIFICATE: Final = _gauge(
    "cellserve_certificate_expiry_timestamp_seconds",
    "When the certificate that --tls-certificate names expires, in seconds since 1970; nothing without TLS, or if it cannot be "
    "read.",
)

BUILD: Final = _gauge("cellserve_build_info", "The server's version, and its front.", ("version", "front"))
THREADS: Final = _gauge("cellserve_threads", "Threads of the process, those of libraries too.")
GC_PAUSES: Final = _histogram(
    "cellserve_gc_pause_seconds",
    "Garbage collections of Python, each of which stops every thread.",
    PAUSE_SECONDS,
    ("generation",),
)

# The Prometheus client makes these itself.
PROCESS: Final = (
    _gauge("process_virtual_memory_bytes", "Address space of the process."),
    _gauge("process_resident_memory_bytes", "Memory that the process has of the machine."),
    _gauge("process_start_time_seconds", "When the process began, in seconds since 1970."),
    _counter("process_cpu_seconds", "Processor time of the process, its own and the system's for it."),
    _gauge("process_open_fds", "Descriptors that are open: files, sockets, pipes."),
    _gauge("process_max_fds", "Descriptors that may be open."),
)
PYTHON: Final = tuple(
    _counter(f"python_gc_{name}", text, ("generation",))
    for name, text in (
        ("objects_collected", "Objects that garbage collection removed."),
        ("objects_uncollectable", "Objects that it found and could not remove."),
        ("collections", "Garbage collections."),
    )
)

GROUPS: Final[Mapping[str, tuple[Family, ...]]] = {
    "Requests": (
        REQUESTS,
        REQUEST_SECONDS,
        QUEUE_SECONDS,
        COMPUTE_SECONDS,
        CANCELLED,
        SEQUENCES,
        REJECTED,
        REJECTED_BY_TOKEN,
    ),
    "Batches": (
        ITERATION_SECONDS,
        ITERATION_ROWS,
        ITERATION_STEPS,
        ITERATION_PADDING,
        TIMESTEPS,
        WAITING,
        ACTIVE,
        STATE_ROWS,
    ),
    "Overload": (GOODPUT, PREDICTION, OVERLOAD, LOOP_LAG),
    "Versions and aliases": (
        MODEL_STATE,
        REPOSITORY_AVAILABLE,
        ALIAS_VERSION,
        ALIAS_SWAPS,
        ALIAS_FALLBACK,
        ALIAS_SHARE,
        ROLLOUT_PROGRESS,
        ROLLOUTS,
        SHADOWED,
        SHADOW_DIFFERENCE,
        SHADOW_SECONDS,
        LOADS,
        LOAD,
        CHOICE,
        WEIGHTS_BYTES,
        STATES_BYTES,
        COPIES_BYTES,
        MEMORY_BUDGET,
    ),
    "Live sequences": (
        SESSIONS,
        SESSION_BYTES,
        SESSION_EVENTS,
        SESSION_STEPS,
        STORE_AVAILABLE,
        STORE_DEGRADED,
        STORE_SECONDS,
        STORE_RECORDS,
        STORE_SEQUENCES,
    ),
    "Calls and connections": (
        RPC_STARTED,
        RPC_HANDLED,
        RPC_SECONDS,
        OPEN_CALLS,
        CONNECTIONS,
        CONNECTION_ENDS,
        CERTIFICATE,
    ),
    "The process": (BUILD, *PROCESS, THREADS, GC_PAUSES, *PYTHON),
}
