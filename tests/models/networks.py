"""Networks and inputs for the tests: chosen by hand or drawn by hypothesis, with weights of moderate size.

`agree` holds numbers to the tolerance that cellserve promises of a single state of moderate weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray

from cellserve.models import reference
from cellserve.models.network import Network
from cellserve.models.shapes import expected_weights, infer_shapes, minimum_time_steps
from cellserve.models.spec import (
    BatchNormalizationLayer,
    Conv1dLayer,
    DenseLayer,
    DropoutLayer,
    EmbeddingLayer,
    GlobalPooling1dLayer,
    GruLayer,
    InputSpec,
    JzsLayer,
    LastStepLayer,
    LayerNormalizationLayer,
    LayerSpec,
    LstmLayer,
    MaskingLayer,
    MergeLayer,
    ModelSpec,
    Padding1dLayer,
    Pooling1dLayer,
    PReluLayer,
    RecurrentLayer,
    ReverseLayer,
    SimpleDeepRnnLayer,
    SimpleRnnLayer,
    UnitNormalizationLayer,
)
from cellserve.models.state import RecurrentState
from cellserve.models.weights import Weights

Array = NDArray[np.float32]
VOCABULARY = 7
MASK_VALUE = -1.0


def features(width: int = 3, time_steps: int | None = None) -> tuple[InputSpec, ...]:
    return (InputSpec(name="x", width=width, time_steps=time_steps),)


def chain(*layers: LayerSpec, outputs: Sequence[str] | None = None, width: int = 3) -> ModelSpec:
    return ModelSpec(inputs=features(width), layers=layers, outputs=tuple(outputs or (layers[-1].name,)))


def random_weights(spec: ModelSpec, seed: int = 0) -> Weights:
    generator = np.random.default_rng(seed)
    arrays = {}
    for name, shape in expected_weights(spec).items():
        scale = min(0.6, 0.9 / np.sqrt(shape[0]))
        arrays[name] = generator.uniform(0.5, 1.5, shape) if "variance" in name else generator.normal(scale=scale, size=shape)
    return Weights.of(arrays)


@dataclass(frozen=True)
class Case:
    """A network and a ragged batch for it, batch-major, with what the oracle says about them."""

    spec: ModelSpec
    weights: Weights
    inputs: Array  # [B, T, F] or ids [B, T]
    lengths: tuple[int, ...]
    mask: NDArray[np.bool_] | None  # [B, T]
    state: dict[str, Array]  # {"0.h": [B, units], …}

    def network(self, device: str = "cpu") -> Network:
        return Network(self.spec, self.weights, device)

    def expected(self) -> tuple[tuple[Array, ...], dict[str, Array]]:
        return reference.run(self.spec, self.weights.arrays, (self.inputs,), self.lengths, mask=self.mask, state=self.state)

    def garbage_beyond(self) -> Array:
        """The inputs with NaN, or ids that do not exist, wherever a row has ended."""
        spoilt = self.inputs.copy()
        for row, length in enumerate(self.lengths):
            spoilt[row, length:] = np.nan if spoilt.dtype == np.float32 else 10**9
        return spoilt

    def start(self, network: Network) -> RecurrentState:
        state = network.initial_state(len(self.lengths))
        for columns in network.state_layout.public:
            view = state.view(columns.layer_index, columns.state)
            with torch.inference_mode():
                view.copy_(torch.tensor(self.state[columns.key]))
        return state


def supported(network: Network) -> list[str]:
    return [label for label, refusal in network.implementations.items() if refusal is None]


def time_major(array: NDArray[np.generic], device: str = "cpu") -> torch.Tensor:
    return torch.tensor(array.swapaxes(0, 1).copy(), device=device)


def public_states(state: RecurrentState) -> dict[str, Array]:
    return {columns.key: state.view(columns.layer_index, columns.state).cpu().numpy() for columns in state.layout.public}


def agree(actual: NDArray[np.floating], expected: NDArray[np.floating], what: str) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=2e-6, err_msg=what)


def agree_with_oracle(case: Case, outputs: Sequence[Array], states: dict[str, Array], label: str) -> None:
    """`outputs`: batch-major, in the order of the spec; sequences are compared within each row's length."""
    outputs_agree_with_oracle(case, outputs, label)
    for key, oracle in case.expected()[1].items():
        agree(states[key], oracle, f"implementation {label}: state {key}")


def outputs_agree_with_oracle(case: Case, outputs: Sequence[Array], label: str) -> None:
    expected, _ = case.expected()
    shapes = infer_shapes(case.spec)
    for name, actual, oracle in zip(case.spec.outputs, outputs, expected, strict=True):
        if not shapes[name].sequence:
            agree(actual, oracle, f"implementation {label}: output {name}")
            continue
        for row, length in enumerate(case.lengths):
            steps = shapes[name].clock.steps(length)
            agree(actual[row, :steps], oracle[row, :steps], f"implementation {label}: output {name}, row {row}")


def run_whole(
    case: Case, network: Network, label: str, inputs: Array | None = None, *, ended_states: bool = True
) -> tuple[list[Array], dict[str, Array]]:
    """Outputs (batch-major) and states of `Network.run` on the case, or on other inputs of the same shape."""
    device = str(network.device)
    mask = None if case.mask is None else time_major(case.mask, device)
    given = time_major(case.inputs if inputs is None else inputs, device)
    start = case.start(network)
    outputs, state = network.run((given,), case.lengths, start, mask=mask, implementation=label, ended_states=ended_states)
    return batch_major(case.spec, outputs), public_states(state)


def batch_major(spec: ModelSpec, outputs: Sequence[torch.Tensor]) -> list[Array]:
    shapes = infer_shapes(spec)
    arrays = [output.cpu().numpy() for output in outputs]
    return [array.swapaxes(0, 1) if shapes[name].sequence else array for name, array in zip(spec.outputs, arrays)]


BOUNDED = ("tanh", "sigmoid", "hard_sigmoid", "hard_sigmoid_relu6", "softsign", "hard_tanh", "softmax")
RULES = ("repeat", "repeat_from_state", "zero")
ALL_RULES = (*RULES, "zero_or_empty", "reset", "ignore")
MERGES = ("concat", "sum", "multiply", "average", "subtract", "maximum", "minimum")


@st.composite
def recurrent_layers(draw: st.DrawFn, name: str, source: str, *, fusable: bool, causal: bool) -> RecurrentLayer:
    common = {
        "name": name,
        "inputs": (source,),
        "units": draw(st.integers(2, 5)),
        "use_bias": draw(st.booleans()),
        "mask_rule": draw(st.sampled_from((*RULES, "zero_or_empty") if fusable else ALL_RULES)),
        "go_backwards": not causal and draw(st.booleans()),
    }
    legacy = () if fusable else ("jzs", "simple_deep_rnn")
    kind = draw(st.sampled_from(("lstm", "gru", "simple_rnn", *legacy)))
    if kind == "simple_rnn":
        common["activation"] = draw(st.sampled_from(("tanh", "relu") if fusable else BOUNDED))
        return SimpleRnnLayer(**common, combine="add" if fusable else draw(st.sampled_from(("add", "multiply"))))
    activations = ("tanh", "sigmoid") if fusable else (draw(st.sampled_from(BOUNDED)), draw(st.sampled_from(BOUNDED)))
    common |= {"activation": activations[0], "recurrent_activation": activations[1]}
    if kind == "jzs":
        return JzsLayer(**common, variant=draw(st.integers(1, 3)))
    if kind == "simple_deep_rnn":
        missing = draw(st.sampled_from(("absent", "zero")))
        return SimpleDeepRnnLayer(**common, depth=draw(st.integers(1, 3)), missing_steps=missing)
    if kind == "gru":
        return GruLayer(**common, reset_after=fusable or draw(st.booleans()))
    common["projection_units"] = draw(st.none() | st.integers(1, common["units"] - 1))
    if not fusable and draw(st.booleans()):
        common |= {"peepholes": draw(st.booleans()), "cell_clip": draw(st.sampled_from((None, 0.3)))}
        common["projection_clip"] = draw(st.sampled_from((None, 0.2))) if common["projection_units"] else None
    return LstmLayer(**common)


@st.composite
def stacks(draw: st.DrawFn, *, fusable: bool, causal: bool) -> ModelSpec:
    """One to three recurrent levels, perhaps bidirectional, with other layers before, between, beside and after."""
    ids = draw(st.booleans())
    given = InputSpec(name="x", kind="ids") if ids else InputSpec(name="x", width=draw(st.integers(1, 4)))
    layers: list[LayerSpec] = []
    if ids:
        masks = draw(st.booleans())
        layers.append(EmbeddingLayer(name="embedding", inputs=("x",), vocabulary=VOCABULARY, units=3, mask_zero=masks))
    elif draw(st.booleans()):
        layers.append(MaskingLayer(name="masking", inputs=("x",), mask_value=MASK_VALUE))
    last = layers[-1].name if layers else "x"
    if not causal and draw(st.booleans()):
        layers += draw(st.sampled_from(_front_ends(last)))
        last = layers[-1].name
    levels = draw(st.integers(1, 3))
    states: list[str] = []
    for level in range(levels):
        sequences, below = level < levels - 1 or draw(st.booleans()), last
        layer = draw(recurrent_layers(f"rnn{level}", last, fusable=fusable, causal=causal))
        layer = layer.model_copy(update={"return_sequences": sequences})
        states += [f"{layer.name}:{state}" for state in layer.state_widths]
        layers.append(layer)
        if not causal and draw(st.booleans()):
            layers += _other_direction(layer, draw(st.sampled_from(("concat", "sum", "multiply", "average"))))
        last = layers[-1].name
        layers += draw(st.sampled_from(_between(f"between{level}", last)))
        last = layers[-1].name
        if sequences and below != "x" and draw(st.booleans()):
            layers += _skip(
                f"skip{level}", below, last, draw(st.sampled_from(MERGES)), draw(st.sampled_from(("all", "any", "always")))
            )
            last = layers[-1].name
    if sequences and draw(st.booleans()):
        pooled = GlobalPooling1dLayer(name="last", inputs=(last,), mode=draw(st.sampled_from(("max", "average"))))
        layers.append(LastStepLayer(name="last", inputs=(last,)) if causal or draw(st.booleans()) else pooled)
    outputs = (layers[-1].name, *draw(st.lists(st.sampled_from(states), max_size=2, unique=True)))
    return ModelSpec(inputs=(given,), layers=tuple(layers), outputs=outputs)


def _other_direction(layer: RecurrentLayer, mode: str) -> list[LayerSpec]:
    backward = layer.model_copy(update={"name": f"{layer.name}_back", "go_backwards": not layer.go_backwards})
    turned = [ReverseLayer(name=f"{layer.name}_turned", inputs=(backward.name,))] if layer.return_sequences else []
    other = turned[-1].name if turned else backward.name
    return [backward, *turned, MergeLayer(name=f"{layer.name}_both", inputs=(layer.name, other), mode=mode)]


def _skip(name: str, below: str, above: str, mode: str, counts_where: Literal["all", "any", "always"]) -> list[LayerSpec]:
    """The sequence before a level, joined with the one after it."""
    if mode == "concat":
        return [MergeLayer(name=name, inputs=(below, above), mode="concat", counts_where=counts_where)]
    widened = [DenseLayer(name=f"{name}_{side}", inputs=(source,), units=3) for side, source in (("b", below), ("a", above))]
    return [*widened, MergeLayer(name=name, inputs=(f"{name}_b", f"{name}_a"), mode=mode, counts_where=counts_where)]


def _front_ends(source: str) -> list[list[LayerSpec]]:
    """What sensor and speech models have before the recurrence."""

    def conv(**options: object) -> Conv1dLayer:
        return Conv1dLayer.model_validate({"name": "conv", "inputs": (source,), "units": 3, "kernel_size": 3, **options})

    return [
        [conv()],
        [conv(padding="same", strides=2, activation="relu"), Pooling1dLayer(name="pool", inputs=("conv",), mode="average")],
        [conv(padding="causal", dilation=2, use_bias=False)],
        [conv(kernel_size=2, padding="same"), Pooling1dLayer(name="pool", inputs=("conv",), mode="max", padding="same")],
        [Padding1dLayer(name="pad", inputs=(source,), after=2), Conv1dLayer(name="c", inputs=("pad",), units=2, kernel_size=4)],
        [Pooling1dLayer(name="pool", inputs=(source,), mode="average", pool_size=3, strides=2, padding="same")],
    ]


def _between(name: str, source: str) -> list[list[LayerSpec]]:
    return [
        [],
        [DropoutLayer(name=name, inputs=(source,), rate=0.5)],
        [DenseLayer(name=name, inputs=(source,), units=3, activation="tanh")],
        [BatchNormalizationLayer(name=name, inputs=(source,))],
        [PReluLayer(name=name, inputs=(source,))],
        [UnitNormalizationLayer(name=name, inputs=(source,), epsilon=0.1)],
        [LayerNormalizationLayer(name=name, inputs=(source,), epsilon=0.1)],
    ]


@st.composite
def cases(draw: st.DrawFn, *, fusable: bool = True, causal: bool = False) -> Case:
    spec = draw(stacks(fusable=fusable, causal=causal))
    fewest = minimum_time_steps(spec)
    lengths = tuple(draw(st.lists(st.integers(fewest, fewest + 6), min_size=1, max_size=4)))
    generator = np.random.default_rng(draw(st.integers(0, 2**16)))
    rows, steps = len(lengths), max(lengths) + draw(st.integers(0, 2))
    if spec.inputs[0].kind == "ids":
        inputs = generator.integers(0, VOCABULARY, (rows, steps))
    else:
        inputs = generator.normal(size=(rows, steps, spec.inputs[0].width)).astype(np.float32)
        inputs[generator.random((rows, steps)) < 0.3] = MASK_VALUE
    mask = generator.random((rows, steps)) < 0.6 if draw(st.booleans()) else None
    layout = {
        f"{index}.{name}": width
        for index, layer in enumerate(spec.recurrent_layers)
        for name, width in layer.state_widths.items()
    }
    scale = 0.5 if draw(st.booleans()) else 0.0
    state = {key: generator.normal(scale=scale, size=(rows, width)).astype(np.float32) for key, width in layout.items()}
    return Case(spec, random_weights(spec, draw(st.integers(0, 2**16))), inputs, lengths, mask, state)
