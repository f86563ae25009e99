"""A step model like a voice detector with a thousand live streams: CPU for each feed of the engine, against loops of onnxruntime,
one feed after the other, and against bare calls of onnxruntime with the same batches; then of a whole server, and of a network
that was translated from ONNX.

A feed is 32 ms of sound: 512 samples through convolutions over their spectrum, then an LSTM of 128 units whose states go in and
out. BENCH_STEP_MODEL names another file, such as a published one, and BENCH_STEP_RATE its sample rate.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Semaphore
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import yaml
from onnx import TensorProto, helper

from cellserve.models import importers
from cellserve.models.importers import ImportedStepModel
from cellserve.models.steps.network import LABEL, StepNetwork
from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.engine import Engine, EngineSettings
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.sequence import Work
from tests.bench import step_server, table, translated
from tests.bench.measure import interleaved_cpu_seconds
from tests.fakes import RecordingObserver
from tests.models.importers.onnx.onnx_graphs import OnnxGraph, saved

Array = npt.NDArray[Any]
STREAMS = 1000
SAMPLES = 512
UNITS = 128
BINS = 129
TOGETHER = 16  # the most that the door holds for each other
ROUNDS = 7
KEY = VersionKey("voice", 1)


def run() -> None:
    with TemporaryDirectory() as folder:
        path, rate = _file(Path(folder))
        said = Path(folder) / "description.yaml"
        bound = {} if rate is None else {"constants": {"sr": rate}}
        said.write_text(yaml.safe_dump({"frames": {"input": SAMPLES}, **bound}))
        imported = importers.load(path, description=said)
        assert isinstance(imported, ImportedStepModel)
        feeds = np.random.default_rng(0).standard_normal((STREAMS, SAMPLES)).astype(np.float32) * 0.1
        with _engine(StepNetwork(imported.spec, imported.weights)) as engine:
            loop, bare = _Loop(path, rate), _Bare(path, rate)
            contenders = {
                "a loop over onnxruntime, one feed after the other": lambda: loop.hear(feeds),
                "engine, all streams, on a worker": lambda: engine.hear(feeds),
                f"engine, at once, {TOGETHER} that come together": lambda: engine.hear_at_once(feeds),
            }
            contenders |= {
                f"onnxruntime alone, batches of {rows}": lambda rows=rows: bare.hear(feeds, rows)
                for rows in (TOGETHER, 64, STREAMS)
            }
            seconds = interleaved_cpu_seconds(contenders, ROUNDS)
            rows = engine.rows
        at_hand = {
            "onnxruntime alone, batches of 16": lambda: bare.hear(feeds, TOGETHER),
            "a loop over onnxruntime, one feed after the other": lambda: loop.hear(feeds),
        }
        step_server.compare(imported, STREAMS, SAMPLES, at_hand, ROUNDS)
    table.ratios(
        f"{STREAMS} live streams of a step model, a feed of each ({rows:.0f} rows a call)",
        seconds,
        STREAMS,
        "onnxruntime alone, batches of 64",
    )
    translated.run()


def _file(folder: Path) -> tuple[Path, int | None]:
    given = os.environ.get("BENCH_STEP_MODEL")
    if given is not None:
        said = os.environ.get("BENCH_STEP_RATE")
        return Path(given), None if said is None else int(said)
    return saved(folder / "voice.onnx", _voice_model()), None


def _voice_model() -> Any:
    random, graph = np.random.default_rng(1), OnnxGraph(16)

    def numbers(*shape: int) -> str:
        return graph.constant((random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32))

    x = graph.add("Pad", [graph.unsqueeze("input", [1]), graph.constant(np.array([0, 0, 0, 0, 0, 64], np.int64))], mode="reflect")
    both = graph.add("Conv", [x, numbers(2 * BINS, 1, 256)], strides=[128])  # [B, 258, 3]: as a short-time spectrum
    x = graph.add("Sqrt", [graph.add("Relu", [graph.add("Mul", [both, both])])])
    for channels, before, stride in ((128, 2 * BINS, 1), (64, 128, 2), (64, 64, 2), (128, 64, 1)):
        x = graph.add("Relu", [graph.add("Conv", [x, numbers(channels, before, 3)], pads=[1, 1], strides=[stride])])
    x = graph.add("Transpose", [x], perm=[2, 0, 1])  # [T, B, 128]
    h, c = graph.add("Split", ["state"], 2, axis=0)
    arrays = [numbers(1, 4 * UNITS, UNITS), numbers(1, 4 * UNITS, UNITS), numbers(1, 8 * UNITS)]
    _, hn, cn = graph.add("LSTM", [x, *arrays, "", h, c], 3, hidden_size=UNITS)
    answer = graph.add("Sigmoid", [graph.add("MatMul", [graph.squeeze(hn, [0]), numbers(UNITS, 1)])])
    graph.nodes.append(helper.make_node("Concat", [hn, cn], ["stateN"], axis=0))
    float_ = TensorProto.FLOAT
    inputs: dict[str, tuple[int, list[int | str | None]]] = {
        "input": (float_, ["batch", "samples"]),
        "state": (float_, [2, "batch", UNITS]),
    }
    return graph.model(inputs, [answer, "stateN"])


class _Session:
    def __init__(self, path: Path, rate: int | None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # as packages have it
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._rate = {} if rate is None else {"sr": np.array(rate, np.int64)}

    def call(self, x: Array, state: Array) -> tuple[Array, Array]:
        answer, after = self._session.run(None, {"input": x, "state": state, **self._rate})
        return answer, after


class _Loop(_Session):
    """Each stream has its state; one after the other is fed."""

    def __init__(self, path: Path, rate: int | None) -> None:
        super().__init__(path, rate)
        self._states = [np.zeros((2, 1, UNITS), np.float32) for _ in range(STREAMS)]

    def hear(self, feeds: Array) -> None:
        for stream, feed in enumerate(feeds):
            _, self._states[stream] = self.call(feed[np.newaxis], self._states[stream])


class _Bare(_Session):
    """All that is there to be done: states and feeds lie side by side already."""

    def __init__(self, path: Path, rate: int | None) -> None:
        super().__init__(path, rate)
        self._state = np.zeros((2, STREAMS, UNITS), np.float32)

    def hear(self, feeds: Array, rows: int) -> None:
        for start in range(0, STREAMS, rows):
            x = feeds[start : start + rows]
            self.call(x, np.ascontiguousarray(self._state[:, : len(x)]))


class _Engine:
    """Each stream's state comes back with its answer, and goes in with the next feed, as live sequences have it."""

    def __init__(self, network: StepNetwork) -> None:
        self._done = Semaphore(0)
        self._answers: dict[int, Delivery] = {}
        self._observer = RecordingObserver()
        self._engine = Engine(
            self._deliver, self._observer, EngineSettings(workers=1, max_active_sequences=2 * STREAMS), self._died
        )
        self._engine.add_version(KEY, network)
        self._states: list[Array | None] = [None] * STREAMS

    def start(self) -> None:
        self._engine.start()

    def stop(self) -> None:
        self._engine.stop()

    @property
    def rows(self) -> float:
        return float(np.mean([fact.rows for fact in self._observer.iterations]))

    def hear(self, feeds: Array) -> None:
        works = [Work(KEY, (feed[np.newaxis],), None, state, None, True) for feed, state in zip(feeds, self._states)]
        ids = self._engine.submit_all(works)
        while len(self._answers) < STREAMS:
            self._done.acquire()
        for stream, identity in enumerate(ids):
            self._states[stream] = self._answers[identity].state
        self._answers.clear()

    def hear_at_once(self, feeds: Array) -> None:
        """As the door does with feeds that come while others are at it."""
        for start in range(0, STREAMS, TOGETHER):
            streams = range(start, min(start + TOGETHER, STREAMS))
            works = [Work(KEY, (feeds[stream][np.newaxis],), None, self._states[stream], None, True) for stream in streams]
            for work in works:
                self._engine.short((work,), alone=False)
            for stream, delivery in zip(streams, self._engine.run_at_once(works, LABEL, [0.0] * len(works))):
                self._states[stream] = delivery.state

    def _deliver(self, deliveries: list[Delivery]) -> None:
        self._answers.update({delivery.sequence_id: delivery for delivery in deliveries})
        self._done.release()

    def _died(self, cause: BaseException) -> None:
        raise cause


@contextmanager
def _engine(network: StepNetwork) -> Iterator[_Engine]:
    made = _Engine(network)
    made.start()
    try:
        yield made
    finally:
        made.stop()
