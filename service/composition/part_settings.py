"""The server's settings as each of its parts wants them. Builds nothing and opens nothing; reads how many cores there are."""

from __future__ import annotations

import socket

from cellserve.models.devices import resolve_device
from cellserve.service.api.fronts.options import ServerOptions
from cellserve.service.api.requests.row_inputs import Limits
from cellserve.service.config import Settings
from cellserve.service.durable_every import DurableEvery
from cellserve.service.engine.engine import EngineSettings
from cellserve.service.networks import parsed_networks
from cellserve.service.process.cores import parsed_cores, share_cores, usable_cores, worker_count
from cellserve.service.registry.publishing.uploads import UploadLimits
from cellserve.service.sessions.settings import SessionSettings


def limits(settings: Settings) -> Limits:
    return Limits(
        rows=settings.max_rows_per_request,
        steps=settings.max_steps_per_sequence,
        reply_bytes=settings.max_message_bytes,
        unanswered=settings.max_unanswered_per_stream,
    )


def upload_limits(settings: Settings) -> UploadLimits:
    return UploadLimits(settings.max_upload_bytes, settings.max_uploads, settings.upload_expiry_seconds)


def session_settings(settings: Settings) -> SessionSettings:
    shared = bool(settings.session_store)
    return SessionSettings(
        idle_seconds=settings.session_idle_seconds,
        max_age_seconds=settings.session_max_age_seconds,
        max_sessions=settings.max_sessions,
        memory_bytes=settings.session_memory_bytes,
        drain_seconds=settings.session_drain_seconds,
        directory=None if shared else settings.session_directory or settings.repository_folder / ".sessions",
        durable_every=None if shared else DurableEvery.parse(settings.durable_every),
        shared=shared,
        replica=replica_name(settings) if shared else "",
        write_every_feeds=settings.write_every_feeds,
    )


def replica_name(settings: Settings) -> str:
    return settings.replica_name or f"{socket.gethostname()}:{settings.port}"


def server_options(settings: Settings) -> ServerOptions:
    return ServerOptions(
        host=settings.host,
        port=settings.port,
        max_message_bytes=settings.max_message_bytes,
        max_concurrent_calls=settings.max_concurrent_calls,
        keepalive_seconds=settings.keepalive_seconds,
        keepalive_timeout_seconds=settings.keepalive_timeout_seconds,
        min_ping_interval_seconds=settings.min_ping_interval_seconds,
        max_connection_age_seconds=settings.max_connection_age_seconds,
        max_connection_age_grace_seconds=settings.max_connection_age_grace_seconds,
        connection_memory_bytes=settings.connection_memory_bytes,
        tls=settings.tls,
        tokens=settings.tokens,
        administration_from=parsed_networks(settings.administration_from),
        request_ids_from=parsed_networks(settings.request_ids_from),
        front=settings.front,
    )


def engine_settings(settings: Settings) -> EngineSettings:
    device = resolve_device(settings.device)
    return EngineSettings(
        join_latency_seconds=settings.join_latency_seconds,
        max_chunk_seconds=settings.max_chunk_seconds,
        max_batch_rows=settings.max_batch_rows,
        max_active_sequences=settings.max_active_sequences,
        max_waiting_seconds=settings.max_waiting_seconds,
        max_waiting_timesteps=settings.max_waiting_timesteps,
        workers=settings.workers or worker_count(len(usable_cores()), share_cores(), device),
        worker_cores=parsed_cores(settings.worker_cores, usable_cores()),
        at_once_seconds=settings.at_once_seconds,
        at_once_alone_seconds=settings.at_once_alone_seconds,
    )
