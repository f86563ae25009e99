"""The engine alone, preloaded, against what no engine can beat: the products by themselves, and one kernel call per batch of
sorted neighbours as a perfect batcher could make it, who knows every sequence beforehand.
"""

from __future__ import annotations

from threading import Semaphore

import numpy as np
import torch

from cellserve.models.network import Network
from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.engine import Engine, EngineSettings
from cellserve.service.engine.facts import IterationFact, SequenceFact, VersionKey
from cellserve.service.engine.sequence import Work
from tests.bench import table, workloads
from tests.bench.measure import interleaved_cpu_seconds
from tests.bench.workloads import Workload

COUNTS = {"stack-a": 512, "seed-tf": 192, "tiny": 2048}
KERNELS = ("onnxruntime", "packed")
ROUNDS = 5
PERFECT_ROWS = 32
SETTINGS = EngineSettings(
    join_latency_seconds=0.002,
    max_chunk_seconds=0.010,
    max_batch_rows=64,
    max_active_sequences=1024,
    max_waiting_seconds=3600.0,
    max_waiting_timesteps=10_000_000,
    workers=1,
)


def run() -> None:
    torch.set_num_threads(1)
    for workload in workloads.ALL:
        network, sequences = workload.network(), workload.sequences(COUNTS[workload.name])
        contenders = {"products": lambda w=workload, s=sequences: _products(w, s)}
        for label in ("fused", *KERNELS):
            contenders[f"perfect batcher, {label}"] = lambda n=network, s=sequences, i=label: _perfect_batcher(n, s, i)
        with Engines(network) as engines, Engines(network) as keeping:
            contenders["engine, fused, states wanted"] = lambda e=keeping, s=sequences: e.answer_all(s, "fused", want_state=True)
            for label, reason in network.implementations.items():
                if reason is None and (label in ("fused", *KERNELS) or workload is workloads.TINY):
                    contenders[f"engine, {label}"] = lambda e=engines, s=sequences, i=label: e.answer_all(s, i)
            contenders["engine, auto"] = lambda e=engines, s=sequences: e.answer_all(s, None)
            seconds = interleaved_cpu_seconds(contenders, ROUNDS)
        table.ratios(f"engine alone, {workload.name}, {len(sequences)} sequences preloaded", seconds, len(sequences), "products")


def _products(workload: Workload, sequences: list[np.ndarray]) -> None:
    """The multiplications of all real time steps, as large matrix products."""
    steps = sum(len(sequence) for sequence in sequences)
    width = workload.features
    for units in workload.units:
        weights = torch.ones(width + units, 4 * units)
        rows = torch.ones(1024, width + units)
        for _ in range(round(steps / 1024)):
            rows @ weights
        width = units


def _perfect_batcher(network: Network, sequences: list[np.ndarray], implementation: str) -> None:
    ordered = sorted(sequences, key=len)
    for start in range(0, len(ordered), PERFECT_ROWS):
        mates = ordered[start : start + PERFECT_ROWS]
        lengths = [len(mate) for mate in mates]
        batch = np.zeros((max(lengths), len(mates), mates[0].shape[1]), np.float32)
        for row, mate in enumerate(mates):
            batch[: len(mate), row] = mate
        network.run((torch.from_numpy(batch),), lengths, implementation=implementation, ended_states=False)


class Engines:
    """One started engine with one version, calibrated."""

    def __init__(self, network: Network) -> None:
        self._done = Semaphore(0)
        self._key = VersionKey("bench", 1)
        self._engine = Engine(self._delivered, Unobserved(), SETTINGS, self._died)
        self._engine.add_version(self._key, network)
        self._engine.choose(self._key, self._engine.measure(self._key).choices)

    def __enter__(self) -> Engines:
        self._engine.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.stop()

    def answer_all(self, sequences: list[np.ndarray], implementation: str | None, want_state: bool = False) -> None:
        for inputs in sequences:
            self._engine.submit(Work(self._key, (inputs,), implementation=implementation, want_state=want_state))
        for _ in sequences:
            self._done.acquire()

    def _delivered(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            if delivery.error is not None:
                raise delivery.error
        self._done.release(len(deliveries))

    def _died(self, cause: BaseException) -> None:
        raise cause


class Unobserved:
    def on_iteration(self, fact: IterationFact) -> None:
        """Nobody looks: the observer's cost is measured at the door."""

    def on_sequence_end(self, fact: SequenceFact) -> None:
        """Nobody looks."""
