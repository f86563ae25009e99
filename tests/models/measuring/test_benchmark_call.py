"""A probe of a network that records: settled, it runs as it will from then on."""

from __future__ import annotations

from cellserve.models.description.layers.cells import LstmLayer
from cellserve.models.measuring.benchmark_call import BenchmarkCall
from cellserve.models.network import Network
from tests.models.networks import chain, random_weights
from tests.models.recording.fakes import FakeRecorder

SPEC = chain(LstmLayer(name="l", inputs=("x",), units=2))


def test_settled_calls_are_repetitions() -> None:
    recorder = FakeRecorder()
    probe = BenchmarkCall(Network(SPEC, random_weights(SPEC), recorder=recorder), [8, 5])
    probe.settle("2")
    recorded, repeated = recorder.recorded, recorder.repeated
    probe("2")
    assert (recorder.recorded, recorder.repeated) == (recorded, repeated + 1) == (1, 2)


def test_where_nothing_is_recorded_there_is_nothing_to_settle() -> None:
    network = Network(SPEC, random_weights(SPEC))
    calls: list[str] = []
    probe = BenchmarkCall(network, [8])
    network.advance = lambda *given, implementation, **options: calls.append(implementation)  # type: ignore[method-assign]
    probe.settle("2")
    assert calls == []
