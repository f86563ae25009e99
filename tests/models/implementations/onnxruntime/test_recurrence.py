"""Implementation "onnxruntime": what it refuses, that every activation is the framework's, and how often a session runs."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings

from cellserve.models.description.layers.activation import WITH_BETA, Activation
from cellserve.models.description.layers.cells import GruLayer, JzsLayer, LstmLayer, SimpleDeepRnnLayer, SimpleRnnLayer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.graph import Graph
from cellserve.models.implementations import IMPLEMENTATIONS, LABELS
from cellserve.models.implementations.compaction import CompactingKernel
from cellserve.models.implementations.onnxruntime import scan
from cellserve.models.implementations.onnxruntime.activations import KNOWN
from cellserve.models.implementations.onnxruntime.recurrence import OnnxCall, SizedCall
from cellserve.models.implementations.refusals import by_onnxruntime
from cellserve.models.network import Network
from cellserve.models.numerics.row_lengths import RowLengths
from tests.compiled import PACKED
from tests.examples import examples
from tests.models.networks import Case, agree, agree_with_oracle, cases, chain, random_weights, run_whole, supported

CPU = torch.device("cpu")
STEPS, WIDTH = 6, 3
COMMON: dict[str, Any] = {"name": "l", "inputs": ("x",), "units": 4}


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (LstmLayer(**COMMON, activation="selu"), "its activation is selu; ONNX's recurrent operators do not have it"),
        (
            GruLayer(**COMMON, recurrent_activation="hard_tanh"),
            "its recurrent_activation is hard_tanh; ONNX's recurrent operators do not have it",
        ),
        (LstmLayer(**COMMON, projection_units=2), "it has a projection; ONNX's LSTM has none"),
        (LstmLayer(**COMMON, cell_clip=1.0), "it clips its state; ONNX's LSTM clips what goes into the activations"),
        (SimpleRnnLayer(**COMMON, combine="multiply"), "it multiplies where ONNX's RNN adds"),
        (LstmLayer(**COMMON, mask_rule="reset"), "a masked step resets its state; ONNX's operators compute without masks"),
        (JzsLayer(**COMMON, variant=1), "it is a jzs layer; ONNX has operators for lstm, gru and simple_rnn only"),
        (
            SimpleDeepRnnLayer(**COMMON, depth=2),
            "it is a simple_deep_rnn layer; ONNX has operators for lstm, gru and simple_rnn only",
        ),
    ],
)
def test_what_it_refuses_and_why(layer: RecurrentLayer, reason: str) -> None:
    assert by_onnxruntime(layer) == reason
    with pytest.raises(ValueError, match="layer"):
        IMPLEMENTATIONS["onnxruntime"].prepare(JzsLayer(**COMMON, variant=1), {})


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_without_the_package_everything_else_is_offered(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    spec = chain(LstmLayer(**COMMON))
    network = Network(spec, random_weights(spec))
    assert network.implementations["onnxruntime"] == (
        f"implementation 'onnxruntime' cannot run layer 'l': {package} is not installed"
    )
    assert [label for label in LABELS if network.implementations[label] is None] == ["0", "1", "2", "fused", *PACKED]


def test_the_packages_are_imported_only_where_a_layer_is_prepared() -> None:
    program = "import sys, cellserve.models.network; print('onnx' in sys.modules, 'onnxruntime' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).split() == ["False", "False"]


LAYERS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "lstm": (LstmLayer, {}),
    "lstm with peepholes": (LstmLayer, {"peepholes": True}),
    "gru reset before": (GruLayer, {}),
    "gru reset after": (GruLayer, {"reset_after": True}),
    "gru reset after without bias": (GruLayer, {"reset_after": True, "use_bias": False}),
    "simple_rnn": (SimpleRnnLayer, {}),
}
ALPHA = {"leaky_relu": 0.3, "thresholded_relu": 0.1, "elu": 0.7}
WITH_BOTH = [Activation(name=name, alpha=0.4, beta=0.3) for name in WITH_BETA]
CHOSEN = [Activation(name=name, alpha=alpha) for name in sorted(KNOWN - set(WITH_BETA)) for alpha in {None, ALPHA.get(name)}]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    "chosen", [*CHOSEN, *WITH_BOTH], ids=lambda one: one.name if one.alpha is None else f"{one.name} {one.alpha}"
)
def test_every_activation_in_every_layer_as_in_the_loop(name: str, chosen: Activation) -> None:
    """Beside gates with and without parameters of their own, so that ONNX's lists of them cannot slip."""
    kind, extras = LAYERS[name]
    for gate in ("sigmoid", "hard_sigmoid_relu6"):
        gates = {} if kind is SimpleRnnLayer else {"recurrent_activation": gate}
        layer = kind(**COMMON, activation=chosen, **gates, **extras)
        assert by_onnxruntime(layer) is None
        compare(layer, [STEPS, 1, 4])


@pytest.mark.parametrize("gate", CHOSEN, ids=lambda one: one.name if one.alpha is None else f"{one.name} {one.alpha}")
@pytest.mark.parametrize("name", [name for name in LAYERS if name != "simple_rnn"])
def test_every_activation_as_a_gate(name: str, gate: Activation) -> None:
    """For two steps: unbounded gates multiply every rounding error."""
    kind, extras = LAYERS[name]
    compare(kind(**COMMON, recurrent_activation=gate, **extras), [2, 1, 2])


@pytest.mark.parametrize("rows", [1, 2, 7, 40])
def test_any_number_of_rows_ragged_or_not(rows: int) -> None:
    for kind in (LstmLayer, GruLayer, SimpleRnnLayer):
        compare(kind(**COMMON), [STEPS] * rows)
        compare(kind(**COMMON), [STEPS, *(1 + row % STEPS for row in range(rows - 1))])


@pytest.mark.parametrize("name", [name for name in LAYERS if "peepholes" not in name])
@pytest.mark.parametrize("chosen", CHOSEN, ids=str)
@pytest.mark.parametrize("lengths", [[STEPS, 1, 4], [STEPS] * 2], ids=["ragged", "even"])
def test_many_rows_are_scanned_where_the_operators_are_slow(name: str, chosen: Activation, lengths: list[int]) -> None:
    kind, extras = LAYERS[name]
    gates = {} if kind is SimpleRnnLayer else {"recurrent_activation": "hard_sigmoid"}
    layer = kind(**COMMON, activation=chosen, **gates, **extras)
    kernel = kernels_of(layer)["onnxruntime", "l"]
    assert isinstance(kernel, CompactingKernel)
    if chosen.name in ("tanh", "sigmoid", "relu") and not gates:
        assert isinstance(kernel.call, OnnxCall)
    else:
        assert isinstance(kernel.call, SizedCall)
        compare(layer, lengths, replace(kernel, call=kernel.call.many))


@pytest.mark.parametrize("gate", CHOSEN, ids=str)
@pytest.mark.parametrize("name", ["lstm", "gru reset before", "gru reset after"])
def test_every_activation_as_a_gate_of_a_scan(name: str, gate: Activation) -> None:
    kind, extras = LAYERS[name]
    layer = kind(**COMMON, recurrent_activation=gate, activation="softsign", **extras)
    kernel = kernels_of(layer)["onnxruntime", "l"]
    assert isinstance(kernel, CompactingKernel)
    assert isinstance(kernel.call, SizedCall)
    compare(layer, [2, 1, 2], replace(kernel, call=kernel.call.many))


def test_the_rows_decide_who_runs() -> None:
    layer = LstmLayer(name="l", inputs=("x",), units=200, recurrent_activation="hard_sigmoid", return_sequences=True)
    kernel = kernels_of(layer)["onnxruntime", "l"]
    assert isinstance(kernel, CompactingKernel)
    assert isinstance(kernel.call, SizedCall)
    few, many = Remembered(), Remembered()
    call = replace(kernel.call, few=few, many=many)
    for rows in (1, 5, 6, 64):
        call(torch.zeros(2, rows, WIDTH), (2,) * rows, ())
    assert (few.rows, many.rows) == ([1, 5], [6, 64])
    compare(layer, [STEPS, 2, 3, 4, 5, STEPS, 1])


@dataclass
class Remembered:
    """A RaggedCall that only counts rows."""

    rows: list[int] = field(default_factory=list)

    def __call__(self, inputs: torch.Tensor, lengths: tuple[int, ...], states: tuple[torch.Tensor, ...]) -> Any:
        self.rows.append(len(lengths))
        return inputs, states


def kernels_of(layer: RecurrentLayer) -> Any:
    spec = chain(layer)
    return Graph.prepare(spec, random_weights(spec), CPU).kernels


def compare(layer: RecurrentLayer, lengths: list[int], kernel: CompactingKernel | None = None) -> None:
    """With NaN beyond each length, inputs that are a view and states that are columns of a wider tensor."""
    kernels = kernels_of(layer)
    units = layer.units
    generator = torch.Generator().manual_seed(len(lengths))
    ends = RowLengths(lengths, STEPS, CPU)
    inputs = 0.3 * torch.randn(len(lengths), STEPS, WIDTH, generator=generator).transpose(0, 1)
    inputs[~ends.inside] = torch.nan
    columns = 0.3 * torch.randn(len(lengths), 2 * units + 1, generator=generator)
    state = {"h": columns[:, :units], "c": columns[:, units:-1], "seen": columns[:, -1:]}
    expected, expected_state = kernels["2", "l"](torch.nan_to_num(inputs), ends, None, state)
    outputs, new = (kernel or kernels["onnxruntime", "l"])(inputs, ends, None, state)
    agree(ends.clean(outputs).numpy(), ends.clean(expected).numpy(), "outputs")
    for one in layer.state_widths:
        agree(new[one].numpy(), expected_state[one].numpy(), one)


@settings(deadline=None, max_examples=examples(10), suppress_health_check=[HealthCheck.filter_too_much])
@given(cases(fusable=False))
def test_scanned_stacks_agree_with_the_oracle(case: Case) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "_FEWEST_NUMBERS", 0)  # as if every batch were large
        network = case.network()
        assume("onnxruntime" in supported(network))
        agree_with_oracle(case, *run_whole(case, network, "onnxruntime"), "onnxruntime")


class CountedSession:
    """Passes runs on, and counts them."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.runs = 0

    def run(self, *args: Any) -> Any:
        self.runs += 1
        return self._session.run(*args)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("lengths", [[STEPS, STEPS], [STEPS, 2]], ids=["full", "ragged"])
def test_one_run_of_the_session_for_a_layer_and_chunk(lengths: list[int], masked: bool) -> None:
    kernel, counted = counting_kernel()
    mask = torch.tensor([[True, False]] * (STEPS - 1) + [[False, True]]) if masked else None
    state = {"h": torch.zeros(2, 4), "c": torch.zeros(2, 4), "seen": torch.zeros(2, 1)}
    kernel(torch.ones(STEPS, 2, WIDTH), RowLengths(lengths, STEPS, CPU), mask, state)
    assert counted.runs == 1


def test_rows_without_a_valid_step_do_not_reach_the_session() -> None:
    kernel, counted = counting_kernel()
    state = {"h": torch.ones(2, 4), "c": torch.ones(2, 4), "seen": torch.zeros(2, 1)}
    nothing = torch.zeros(STEPS, 2, dtype=torch.bool)
    _, new = kernel(torch.ones(STEPS, 2, WIDTH), RowLengths([STEPS, 2], STEPS, CPU), nothing, state)
    assert counted.runs == 0
    assert torch.equal(new["h"], state["h"])


def counting_kernel() -> tuple[CompactingKernel, CountedSession]:
    spec = chain(LstmLayer(**COMMON))
    kernel = Graph.prepare(spec, random_weights(spec), CPU).kernels["onnxruntime", "l"]
    assert isinstance(kernel, CompactingKernel)
    assert isinstance(kernel.call, OnnxCall)
    counted = CountedSession(kernel.call.session)
    return replace(kernel, call=replace(kernel.call, session=counted)), counted


def test_threads_share_one_session() -> None:
    spec = chain(LstmLayer(**COMMON, return_sequences=True), GruLayer(**{**COMMON, "name": "g", "inputs": ("l",)}))
    network = Network(spec, random_weights(spec))
    batches = [torch.randn(5, 2 + number % 3, WIDTH, generator=torch.Generator().manual_seed(number)) for number in range(40)]

    def answer(batch: torch.Tensor, label: str) -> torch.Tensor:
        lengths = [5, *(1 + row for row in range(batch.shape[1] - 1))]
        return network.run((batch,), lengths, implementation=label)[0][0]

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda batch: answer(batch, "onnxruntime"), batches))
    for batch, found in zip(batches, answers):
        agree(found.numpy(), answer(batch, "2").numpy(), "outputs")
