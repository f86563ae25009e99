"""Short work on the caller's thread: the network's own answer, only for what was measured to be short, refused as any other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellserve.models import reference
from cellserve.models.description.layers.cells import LstmLayer
from cellserve.models.description.layers.rows import ReverseLayer
from cellserve.models.description.layers.stepwise import DenseLayer
from cellserve.models.description.shapes import expected_weights
from cellserve.models.implementations.onnxruntime.chunk_call import ChunkAnswer, ChunkCall
from cellserve.models.network import Network
from cellserve.models.spec import InputSpec, ModelSpec
from cellserve.models.weights import Weights
from cellserve.service.engine.engine import Engine
from cellserve.service.engine.running.at_once import AtOnce, most_steps
from cellserve.service.engine.running.measured_call import measured_calls
from cellserve.service.engine.sequence import Work
from cellserve.service.engine.settings import EngineSettings
from cellserve.service.errors import DeadlineExpired, Draining, InternalFailure, UnknownImplementation, UnknownVersion
from tests.fakes import FakeClock, FakeNetwork, RecordingObserver
from tests.service.engine.driving import KEY

SPEC = ModelSpec(
    inputs=(InputSpec(name="x", width=3),),
    layers=(
        LstmLayer(name="a", inputs=("x",), units=4, return_sequences=True),
        LstmLayer(name="b", inputs=("a",), units=2),
        DenseLayer(name="d", inputs=("b",), units=5),
    ),
    outputs=("a", "d"),
)
CHANCE = np.random.default_rng(1)
WEIGHTS = Weights.of({name: CHANCE.normal(0, 0.4, shape).astype(np.float32) for name, shape in expected_weights(SPEC).items()})
NETWORK = Network(SPEC, WEIGHTS)


def inputs(steps: int) -> np.ndarray:
    return np.random.default_rng(steps).normal(size=(steps, 3)).astype(np.float32)


class Counted:
    """A processor whose clock moves by a microsecond for each step of each call, and by ten for the call."""

    def __init__(self, network: Network) -> None:
        self._call = network.chunk_call("onnxruntime")
        self.seconds = 0.0

    pads = True

    def refuses(self, steps: np.ndarray) -> bool:
        return False

    def __call__(self, steps: np.ndarray, *rest: object) -> ChunkAnswer:
        self.seconds += 1e-5 + 1e-6 * steps.shape[0] * steps.shape[1]
        assert self._call is not None
        return self._call(steps, *rest)  # type: ignore[arg-type]


class CountedNetwork(Network):
    counted: Counted | None = None

    def chunk_call(self, implementation: str) -> ChunkCall | None:
        return self.counted if implementation == "onnxruntime" else None  # type: ignore[return-value]


def counted_engine(settings: EngineSettings | None = None) -> tuple[Engine, CountedNetwork, RecordingObserver, FakeClock]:
    observer, clock = RecordingObserver(), FakeClock()
    network = CountedNetwork(SPEC, WEIGHTS)
    network.counted = Counted(NETWORK)
    engine = Engine(lambda deliveries: None, observer, settings or EngineSettings(), lambda cause: None, clock)
    engine.add_version(KEY, network, "onnxruntime")
    return engine, network, observer, clock


@pytest.mark.parametrize("steps", [1, 2, 9])
@pytest.mark.parametrize("want_state", [False, True])
def test_it_is_the_oracles_answer(steps: int, want_state: bool) -> None:
    observer = RecordingObserver()
    at_once = AtOnce(KEY, NETWORK, measured_calls(NETWORK, FakeClock()), observer, 10.0, 0.0, FakeClock())
    state = np.random.default_rng(9).normal(size=NETWORK.state_layout.width).astype(np.float32)
    work = Work(KEY, (inputs(steps),), state=state, want_state=want_state)
    assert at_once.takes((work,), "onnxruntime", alone=False)
    (delivery,) = at_once.run((work,), "onnxruntime", (0.0,))
    given_state = {one.key: state[None, one.start : one.start + one.width] for one in NETWORK.state_layout.public}
    expected, after = reference.run(SPEC, WEIGHTS.arrays, (inputs(steps)[None],), [steps], state=given_state)
    for found, oracle in zip(delivery.outputs, expected, strict=True):
        np.testing.assert_allclose(found, oracle[0], rtol=1e-5, atol=2e-6)
    assert (delivery.state is not None) == want_state
    if delivery.state is not None:
        for one in NETWORK.state_layout.public:
            found = delivery.state[one.start : one.start + one.width]
            np.testing.assert_allclose(found, after[one.key][0], rtol=1e-5, atol=2e-6)
    assert (delivery.error, delivery.steps, delivery.iterations) == (None, steps, 1)
    assert [(fact.rows, fact.steps, fact.timesteps) for fact in observer.iterations] == [(1, steps, steps)]
    assert [(fact.reason, fact.steps, fact.implementation) for fact in observer.ends] == [("done", steps, "onnxruntime")]


def counted_at_once(longest_seconds: float, alone_seconds: float = 0.0, clock: FakeClock | None = None) -> AtOnce:
    network = CountedNetwork(SPEC, WEIGHTS)
    counted = network.counted = Counted(NETWORK)
    observer = RecordingObserver()
    calls = measured_calls(network, lambda: counted.seconds)
    return AtOnce(KEY, network, calls, observer, longest_seconds, alone_seconds, clock or FakeClock())


def test_only_what_was_measured_to_be_short_is_taken() -> None:
    """At 10 microseconds a call and 1 a step, 90 steps take 100: measured are 64 and 128, which take 74 and 138."""
    at_once = counted_at_once(1e-4)
    assert at_once.longest_steps == pytest.approx(90, abs=1)
    assert at_once.takes([Work(KEY, (inputs(89),))], "onnxruntime", alone=False)
    assert not at_once.takes([Work(KEY, (inputs(91),))], "onnxruntime", alone=False)
    assert not at_once.takes([Work(KEY, (inputs(1),))], "2", alone=False)
    assert not at_once.takes([Work(KEY, (inputs(1),), mask=np.ones(1, np.bool_))], "onnxruntime", alone=False)
    assert not at_once.takes([Work(KEY, (inputs(0),))], "onnxruntime", alone=False)


def test_where_nothing_else_is_under_way_more_is_taken() -> None:
    at_once = counted_at_once(1e-4, 1e-3)
    assert at_once.longest_steps == pytest.approx(990, abs=1)
    for steps, alone, taken in ((89, False, True), (91, False, False), (988, True, True), (992, True, False)):
        assert at_once.takes([Work(KEY, (inputs(steps),))], "onnxruntime", alone) == taken


def test_the_engine_takes_more_only_while_its_workers_are_idle() -> None:
    observer, clock = RecordingObserver(), FakeClock()
    network = CountedNetwork(SPEC, WEIGHTS)
    counted = network.counted = Counted(NETWORK)
    settings = EngineSettings(at_once_seconds=1e-4, at_once_alone_seconds=1e-3)
    engine = Engine(lambda deliveries: None, observer, settings, lambda cause: None, clock, lambda: counted.seconds)
    engine.add_version(KEY, network, "onnxruntime")
    work = Work(KEY, (inputs(500),))
    assert engine.short([work], alone=True) == "onnxruntime"
    assert engine.short([work], alone=False) is None
    engine.submit(work)
    assert engine.short([work], alone=True) is None
    assert engine.short([Work(KEY, (inputs(5),))], alone=True) == "onnxruntime"


def test_rows_of_one_request_must_be_short_each_and_not_long_together() -> None:
    """Five times what one may take: 500 microseconds, at 10 to 11 a call and 1 for each step of each row."""
    at_once = counted_at_once(1e-4)
    assert at_once.takes([Work(KEY, (inputs(80),))] * 6, "onnxruntime", alone=False)
    assert not at_once.takes([Work(KEY, (inputs(80),))] * 7, "onnxruntime", alone=False)
    assert not at_once.takes([Work(KEY, (inputs(2),)), Work(KEY, (inputs(91),))], "onnxruntime", alone=False)


@pytest.mark.parametrize("lengths", [(3, 3, 3), (1, 90, 2, 90, 5), (7,), (40, 1)])
def test_side_by_side_each_gets_its_own_answer(lengths: tuple[int, ...]) -> None:
    clock = FakeClock()
    at_once = counted_at_once(1e-4, clock=clock)
    clock.advance(3.0)
    works = [
        Work(KEY, (inputs(steps),), state=np.full(NETWORK.state_layout.width, place / 8, np.float32), want_state=place % 2 == 0)
        for place, steps in enumerate(lengths)
    ]
    arrived = [clock() - place for place in range(len(works))]
    deliveries = at_once.run(works, "onnxruntime", arrived)
    assert [delivery.steps for delivery in deliveries] == list(lengths)
    for place, (work, delivery) in enumerate(zip(works, deliveries, strict=True)):
        (alone,) = at_once.run([work], "onnxruntime", [0.0])
        for found, expected in zip(delivery.outputs, alone.outputs, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        assert (delivery.state is None) == (place % 2 == 1)
        if delivery.state is not None:
            np.testing.assert_allclose(delivery.state, alone.state, rtol=1e-5, atol=1e-6)
        assert delivery.queue_seconds == place


def test_whoever_keeps_an_answer_keeps_no_other() -> None:
    works = [Work(KEY, (inputs(3),), want_state=True)] * 3
    for delivery in counted_at_once(1e-4).run(works, "onnxruntime", [0.0] * 3):
        assert delivery.state is not None
        for kept in (*delivery.outputs, delivery.state):
            assert kept.base is None or kept.base.nbytes == kept.nbytes


@given(call=st.floats(0, 1e-3), step=st.floats(1e-9, 1e-3), longest=st.floats(1e-6, 1e-2))
def test_the_longest_fit_and_a_good_deal_longer_do_not(call: float, step: float, longest: float) -> None:
    found = most_steps(lambda steps: call + step * steps, longest)
    assert 0 <= found <= 4096
    if found:
        assert call + step * found <= longest * (1 + 1e-9)
    if found < 4096:
        assert call + step * 2 * (found + 1) > longest


@pytest.mark.parametrize("network", [FakeNetwork(), FakeNetwork(causal=False)])
def test_networks_that_have_no_such_way_take_nothing(network: FakeNetwork) -> None:
    calls = measured_calls(network, FakeClock())  # type: ignore[arg-type]
    assert AtOnce(KEY, network, calls, RecordingObserver(), 1.0, 1.0, FakeClock()).longest_steps == 0  # type: ignore[arg-type]


def test_none_is_taken_where_the_settings_say_so_or_the_network_goes_backwards() -> None:
    calls = measured_calls(NETWORK, FakeClock())
    assert AtOnce(KEY, NETWORK, calls, RecordingObserver(), 0.0, 1.0, FakeClock()).longest_steps == 0
    backwards = SPEC.model_copy(
        update={
            "layers": (ReverseLayer(name="r", inputs=("x",)), DenseLayer(name="d", inputs=("r",), units=1)),
            "outputs": ("d",),
        }
    )
    shapes = expected_weights(backwards)
    turned = Network(backwards, Weights.of({name: np.ones(shape, np.float32) for name, shape in shapes.items()}))
    assert AtOnce(KEY, turned, measured_calls(turned, FakeClock()), RecordingObserver(), 1.0, 1.0, FakeClock()).longest_steps == 0


def test_the_engine_asks_for_the_implementation_that_the_work_or_the_measurements_say() -> None:
    engine, *_ = counted_engine(EngineSettings(at_once_seconds=1.0))
    work = Work(KEY, (inputs(2),))
    assert engine.short([work], alone=False) == "onnxruntime"
    assert engine.run_at_once([work], "onnxruntime", [0.0])[0].implementation == "onnxruntime"
    assert engine.short([work._replace(implementation="2")], alone=False) is None
    engine.choose(KEY, {"bulk_few": "2", "bulk_many": "2", "steps_few": "2", "steps_many": "2"})
    assert engine.short([work], alone=False) is None
    assert engine.short([work._replace(implementation="onnxruntime")], alone=False) == "onnxruntime"
    with pytest.raises(UnknownImplementation):
        engine.short([work._replace(implementation="quantum")], alone=False)


def test_it_is_refused_as_any_other_work() -> None:
    engine, _, _, clock = counted_engine(EngineSettings(at_once_seconds=1.0))
    work = Work(KEY, (inputs(2),))
    with pytest.raises(DeadlineExpired):
        engine.short([work._replace(deadline_seconds=clock() - 1)], alone=False)
    assert engine.short([work._replace(deadline_seconds=clock() + 1)], alone=False) is not None
    engine.remove_version(KEY)
    with pytest.raises(UnknownVersion):
        engine.short([work], alone=False)
    with pytest.raises(UnknownVersion):
        engine.run_at_once([work], "onnxruntime", [0.0])
    engine.stop()
    with pytest.raises(Draining):
        engine.short([work], alone=False)


def test_a_computation_that_raises_fails_its_own_sequences_only() -> None:
    engine, network, observer, _ = counted_engine(EngineSettings(at_once_seconds=1.0))
    assert network.counted is not None
    call, network.counted._call = network.counted._call, None
    deliveries = engine.run_at_once([Work(KEY, (inputs(2),))] * 2, "onnxruntime", [0.0, 0.0])
    assert all(isinstance(delivery.error, InternalFailure) for delivery in deliveries)
    assert [fact.reason for fact in observer.ends] == ["failed", "failed"]
    network.counted._call = call
    assert engine.run_at_once([Work(KEY, (inputs(2),))], "onnxruntime", [0.0])[0].error is None


def test_an_observer_that_raises_costs_no_answer() -> None:
    class Deaf(RecordingObserver):
        def on_iteration(self, fact: object) -> None:
            raise RuntimeError("deaf")

    at_once = AtOnce(KEY, NETWORK, measured_calls(NETWORK, FakeClock()), Deaf(), 10.0, 0.0, FakeClock())
    assert at_once.run([Work(KEY, (inputs(1),))], "onnxruntime", [0.0])[0].error is None
