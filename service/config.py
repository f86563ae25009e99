"""Every setting of the server: its name, default, unit and meaning, in one place. The only file that reads the environment.

The command line, the documentation, the environment variables (prefix CELLSERVE_) and what a file of settings may hold are all
made from this class. What the command line says counts most, then the environment, then the file, then the defaults.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from cellserve.service.durable_every import DurableEvery
from cellserve.service.networks import parsed_networks
from cellserve.service.process.cores import parsed_cores, usable_cores
from cellserve.service.repository_place import folder_of, mirror_name, url_of
from cellserve.service.settings_file import SETTING, read_settings
from cellserve.service.store_url import StoreUrl
from cellserve.service.tls_files import TlsFiles

DEFAULT_REPOSITORY = "model-repository"
DEFAULT_PORT = 8001
DEFAULT_METRICS_PORT = 8002
_CACHE_FOLDER = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "cellserve"
DEFAULT_CALIBRATION_FOLDER = _CACHE_FOLDER / "calibration"

_LONGEST_SECONDS = 1e9  # some thirty years: what the system's clocks and waits can take
_LONGEST_GRPC_SECONDS = 2e6  # gRPC counts milliseconds in 32 bits
_MOST_32_BITS = 2**31 - 1
Seconds = Annotated[float, Field(gt=0, le=_LONGEST_SECONDS, allow_inf_nan=False)]
SecondsOrZero = Annotated[float, Field(ge=0, le=_LONGEST_SECONDS, allow_inf_nan=False)]
GrpcSeconds = Annotated[float, Field(gt=0, le=_LONGEST_GRPC_SECONDS, allow_inf_nan=False)]
GrpcSecondsOrZero = Annotated[float, Field(ge=0, le=_LONGEST_GRPC_SECONDS, allow_inf_nan=False)]

DEVICE_PATTERN = r"^(auto|cpu|cuda(:\d+)?)$"

LoadChoice = Literal["at-start", "on-demand"]
FrontChoice = Literal["auto", "grpc", "http2"]
ImplementationChoice = Literal["auto", "0", "1", "2", "fused", "onnxruntime", "packed"]


def _as_text(path: object) -> object:
    return os.fspath(path) if isinstance(path, os.PathLike) else path


class _FileSource(PydanticBaseSettingsSource):
    """The file that the sources before it name, if any."""

    def __call__(self) -> dict[str, Any]:
        given = self.current_state.get(SETTING)
        return {} if given is None else read_settings(Path(given), self.settings_cls.model_fields.keys() - {SETTING})

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """All are given at once instead."""
        return None, field_name, False


class Settings(BaseSettings):
    """Settings of `cellserve serve`. Each field is also an environment variable, CELLSERVE_<NAME>; an empty one is none.

    Made without a value for `settings_file`, the environment names the file, if any. Raises ValidationError, UnusableFile.
    """

    model_config = SettingsConfigDict(
        env_prefix="CELLSERVE_", env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    settings_file: Path | None = Field(
        default=None, description="YAML file of settings by name, which options and the environment override."
    )
    repository: Annotated[str, BeforeValidator(_as_text)] = Field(
        default=DEFAULT_REPOSITORY,
        description="The model repository: a folder, or s3://bucket/prefix, gs:// or az:// (docs/registry.md).",
    )
    repository_cache_folder: Path = Field(
        default=_CACHE_FOLDER / "repositories",
        description="Where repositories of object stores are seen on this machine, each in a folder of its own.",
    )
    repository_cache_bytes: PositiveInt = Field(
        default=10 * 1024 * 1024 * 1024,
        description="Weights of an object store that are kept on this machine; beyond, the longest unused are fetched again.",
    )
    repository_poll_seconds: Seconds = Field(
        default=5.0, description="How often an object store is asked whether its repository has changed."
    )
    host: str = Field(default="0.0.0.0", description="Address to listen on, for gRPC and for metrics.")
    port: NonNegativeInt = Field(default=DEFAULT_PORT, le=65535, description="gRPC port; 0 picks a free one.")
    metrics_port: NonNegativeInt = Field(
        default=DEFAULT_METRICS_PORT, le=65535, description="HTTP port of /metrics and of the status page, /; 0 picks a free one."
    )
    front: FrontChoice = Field(
        default="auto",
        description="What takes the calls: grpc, gRPC's own server; http2, one on HTTP/2 frames (the package ngh2) that costs a "
        "fraction of it; auto: http2 where it can be had and works, or else grpc.",
    )
    tls_certificate: Path | None = Field(
        default=None,
        description="PEM file of the server's certificate chain: gRPC is TLS only then. Read again when it changes.",
    )
    tls_key: Path | None = Field(default=None, description="PEM file of the certificate's private key, without a passphrase.")
    tls_client_ca: Path | None = Field(
        default=None, description="PEM file of authorities; clients must then show a certificate that one of them has signed."
    )
    tokens: Path | None = Field(
        default=None,
        description="File of the tokens that calls must carry: infer or admin and a token, a line. Read again when it changes.",
    )
    device: str = Field(default="auto", pattern=DEVICE_PATTERN, description="auto, cpu, cuda or cuda:<n>.")
    implementation: ImplementationChoice = Field(
        default="auto",
        description="How recurrent layers are computed, unless a request says; auto: as was measured to be fastest here.",
    )
    calibration_folder: Path = Field(
        default=DEFAULT_CALIBRATION_FOLDER, description="Folder where auto keeps what it measured, for the next start."
    )
    load: LoadChoice = Field(
        default="at-start",
        description="When versions are loaded, unless their model's model.yaml says: at-start; on-demand: those of a model with "
        "the first request to it, so that many models start at once.",
    )
    memory_bytes: int | None = Field(
        default=None,
        ge=0,
        description="Memory for loaded versions: weights, their copies and states. For one more, the longest unused go that no "
        "alias, pin or live sequence holds; none: 0.8 of what the control group or the machine has; 0: any amount.",
    )
    keep_previous_seconds: SecondsOrZero = Field(
        default=900.0,
        description="How long the version that an alias has left stays loaded, for a way back at once, unless its model's "
        "model.yaml says; 0: not at all.",
    )
    workers: NonNegativeInt = Field(
        default=0,
        description="Worker threads, each with one batch in flight; 0: one for each core but one, which reads and answers "
        "requests, and one on a GPU.",
    )
    worker_cores: str = Field(
        default="", description="Cores that workers are bound to, in turn: 0,1 or 2-5; none: the system moves them as it likes."
    )
    join_latency_seconds: Seconds = Field(
        default=0.002,
        description="Longest a newcomer should wait for the running chunk, or a tenth of what even the quickest take lately.",
    )
    max_chunk_seconds: Seconds = Field(
        default=0.010, description="Longest chunk while nobody else arrives, or while even the quickest sequences take long."
    )
    at_once_seconds: SecondsOrZero = Field(
        default=0.00015,
        description="A sequence that takes the processor no longer than this is computed by the thread that reads requests, "
        "which costs less than the way to a worker; 0: none is.",
    )
    at_once_alone_seconds: SecondsOrZero = Field(
        default=0.001,
        description="As at_once_seconds, for a sequence that comes while nothing else is under way: nobody waits behind it.",
    )
    max_batch_rows: PositiveInt = Field(default=64, description="Most sequences advanced side by side in one iteration.")
    max_active_sequences: PositiveInt = Field(
        default=1024, description="State rows per loaded version: sequences under way at once."
    )
    max_waiting_seconds: Seconds = Field(
        default=10.0,
        description="A request without a deadline that would wait longer than this, by what was measured lately, is refused and "
        "told when to come again; one with a deadline, if it could not be answered by then.",
    )
    max_waiting_timesteps: PositiveInt = Field(
        default=4_000_000, description="Time steps that may wait per worker, whatever they take: it bounds the memory of a queue."
    )
    max_message_bytes: PositiveInt = Field(
        default=64 * 1024 * 1024, le=_MOST_32_BITS, description="Largest gRPC message, each way, in bytes."
    )
    max_concurrent_calls: PositiveInt = Field(
        default=4096, le=_MOST_32_BITS, description="Most calls under way on one connection; further ones wait in the client."
    )
    max_unanswered_per_stream: PositiveInt = Field(
        default=1024, description="Most requests of one stream that are read and not answered; further ones wait in the client."
    )
    keepalive_seconds: GrpcSeconds = Field(default=120.0, description="Silence after which a connection is pinged.")
    keepalive_timeout_seconds: GrpcSeconds = Field(
        default=20.0, description="Longest wait for the answer to such a ping; then the connection is closed."
    )
    min_ping_interval_seconds: GrpcSeconds = Field(
        default=10.0, description="Clients that ping an idle connection more often are disconnected."
    )
    max_connection_age_seconds: GrpcSecondsOrZero = Field(
        default=0.0, description="Age at which a connection is asked to come again, so that load spreads; 0: never."
    )
    max_connection_age_grace_seconds: GrpcSeconds = Field(
        default=60.0, description="Longest that calls and streams on such a connection may still take."
    )
    connection_memory_bytes: PositiveInt = Field(
        default=2 * 1024 * 1024 * 1024,
        description="Memory that clients may make the http2 front hold: requests that have not come whole and replies that they "
        "do not take; beyond, the connection that holds most is ended.",
    )
    max_rows_per_request: PositiveInt = Field(default=4096, description="Most rows of one request.")
    max_steps_per_sequence: PositiveInt = Field(default=1_000_000, description="Most time steps of one row.")
    session_idle_seconds: SecondsOrZero = Field(
        default=600.0,
        description="A live sequence that is fed nothing for so long expires, unless its model's model.yaml says; 0: never.",
    )
    session_max_age_seconds: SecondsOrZero = Field(
        default=0.0, description="A live sequence expires at this age, whatever is fed to it; 0: never."
    )
    max_sessions: PositiveInt = Field(
        default=200_000, description="Most live sequences; beyond, the longest idle one is evicted."
    )
    session_memory_bytes: PositiveInt = Field(
        default=2 * 1024 * 1024 * 1024,
        description="Memory for the states of live sequences; beyond, the longest idle ones are parked on disk.",
    )
    session_directory: Path | None = Field(
        default=None, description="Folder where live sequences are written and parked; none: .sessions in the repository."
    )
    session_drain_seconds: SecondsOrZero = Field(
        default=600.0, description="How long live sequences may go on after their version was replaced."
    )
    durable_every: str = Field(
        default="",
        description="How often live sequences are written while the server runs: 100 is after 100 feeds, 5s every 5 seconds; "
        "none: only when it stops.",
    )
    session_store: str = Field(
        default="",
        repr=False,
        description="Where replicas share live sequences: valkey://[user:password@]host:port[/db], valkeys:// for TLS "
        "(docs/cluster.md); none: this server's own memory and disk. durable_every then counts the feeds of each sequence, "
        "and is 1.",
    )
    session_store_prefix: str = Field(
        default="cellserve",
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="What the keys in the session store begin with: clusters that share a store take different ones.",
    )
    replica_name: str = Field(
        default="", max_length=128, description="What this server is called among those that share a store; none: host and port."
    )
    request_ids_from: str = Field(
        default="",
        description="Networks of proxies whose x-request-id is believed to be the same for every attempt at a request: "
        "10.0.0.0/8; a feed of a live sequence that was applied is then answered again; none: nobody's.",
    )
    max_upload_bytes: PositiveInt = Field(
        default=4 * 1024 * 1024 * 1024, description="Largest version that is published over the wire, in bytes."
    )
    max_uploads: PositiveInt = Field(
        default=16, description="Most publications over the wire that are unfinished, on the disk of the repository."
    )
    upload_expiry_seconds: Seconds = Field(
        default=3600.0,
        description="A publication of which nothing has come for so long is dropped; until then it can be resumed.",
    )
    lame_duck_seconds: SecondsOrZero = Field(
        default=0.0,
        description="How long a stopping server, no longer ready, still takes requests while load balancers turn away.",
    )
    drain_seconds: Seconds = Field(default=30.0, description="Longest a stopping server works on what it has accepted.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least severe log line to write.")
    log_format: Literal["text", "json"] = Field(default="text", description="One line of text, or one JSON object, per event.")
    trace_endpoint: str = Field(
        default="",
        description="Where traces are sent, by OTLP over gRPC: http://collector:4317, https:// for TLS (docs/tracing.md, which "
        "names the package); none: nothing is traced.",
    )
    trace_share: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Share of the requests that are traced, of those whose callers do not say so themselves (traceparent).",
    )
    administration_from: str = Field(
        default="",
        description="Networks whose callers, beside the server's own machine, may administer a server without tokens: "
        "172.16.0.0/12,10.1.2.3; none: nobody else.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The first that knows a setting counts."""
        return init_settings, env_settings, _FileSource(settings_cls)

    @field_validator("repository")
    @classmethod
    def _check_repository(cls, text: str) -> str:
        if url_of(text) is None:
            folder_of(text)
        return text

    @field_validator("durable_every")
    @classmethod
    def _check_durable_every(cls, text: str) -> str:
        DurableEvery.parse(text)
        return text

    @field_validator("session_store")
    @classmethod
    def _check_session_store(cls, text: str) -> str:
        StoreUrl.parse(text)
        return text

    @field_validator("trace_endpoint")
    @classmethod
    def _check_trace_endpoint(cls, text: str) -> str:
        parts = urlsplit(text)
        if text and (parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/")):
            raise ValueError("is no endpoint of OTLP over gRPC; write http://host:4317, or https://host:4317 for TLS")
        return text

    @field_validator("administration_from", "request_ids_from")
    @classmethod
    def _check_networks(cls, text: str) -> str:
        parsed_networks(text)
        return text

    @field_validator("worker_cores")
    @classmethod
    def _check_worker_cores(cls, text: str) -> str:
        parsed_cores(text, usable_cores())
        return text

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            given, wanted = ("certificate", "key") if self.tls_key is None else ("key", "certificate")
            raise ValueError(f"--tls-{given} is given without --tls-{wanted} (CELLSERVE_TLS_{wanted.upper()}); TLS needs both")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError("--tls-client-ca is given without --tls-certificate and --tls-key; certificates of clients need TLS")
        return self

    @model_validator(mode="after")
    def _check_store(self) -> Self:
        every = DurableEvery.parse(self.durable_every)
        if self.session_store and every is not None and every.feeds is None:
            raise ValueError(
                f"--durable-every {self.durable_every} is seconds; with --session-store it is a number of feeds, 1 to lose none"
            )
        return self

    @property
    def repository_url(self) -> str | None:
        """Of an object store; None: the repository is a folder."""
        return url_of(self.repository)

    @property
    def repository_folder(self) -> Path:
        """The repository, or where it is seen on this machine."""
        url = self.repository_url
        return folder_of(self.repository) if url is None else self.repository_cache_folder.expanduser() / mirror_name(url)

    @property
    def write_every_feeds(self) -> int:
        """Of each sequence, to the session store."""
        every = DurableEvery.parse(self.durable_every)
        return 1 if every is None or every.feeds is None else every.feeds

    @property
    def tls(self) -> TlsFiles | None:
        """None: plain text."""
        if self.tls_certificate is None or self.tls_key is None:
            return None
        return TlsFiles(self.tls_certificate, self.tls_key, self.tls_client_ca)
