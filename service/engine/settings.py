"""The engine's own settings, as plain numbers: made from the server's by the composition root. Reads no environment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """join_latency_seconds: longest a newcomer should wait for the running chunk. max_chunk_seconds: longest chunk while nobody
    arrives. max_batch_rows: most sequences in one iteration. max_active_sequences: state rows per lane. max_waiting_seconds:
    longest wait, as predicted, of what has no deadline. max_waiting_timesteps: most outstanding time steps per worker. workers:
    threads, each with one batch in flight. worker_cores: what they are bound to, in turn; none: nothing. at_once_seconds: of the
    processor, that a sequence may take to be computed at once, on the caller's thread; 0: none is. at_once_alone_seconds: that it
    may take where nothing else is under way.
    """

    join_latency_seconds: float = 0.002
    max_chunk_seconds: float = 0.010
    max_batch_rows: int = 64
    max_active_sequences: int = 1024
    max_waiting_seconds: float = 10.0
    max_waiting_timesteps: int = 4_000_000
    workers: int = 1
    worker_cores: tuple[int, ...] = ()
    at_once_seconds: float = 0.00015
    at_once_alone_seconds: float = 0.001
