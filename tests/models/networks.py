"""Networks and inputs for the tests: chosen by hand or drawn by hypothesis, with weights of moderate size.

`agree` holds numbers to the tolerance that cellserve promises of a single state of moderate weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray

from cellserve.models import reference
from cellserve.models.description.shapes import expected_weights, infer_shapes, minimum_time_steps, required_time_steps
from cellserve.models.implementations import LABELS
from cellserve.models.network import Network
from cellserve.models.spec import InputSpec, LayerSpec, ModelSpec
from cellserve.models.state import RecurrentState
from cellserve.models.weights import Weights
from tests.models.drawn_layers import (
    MASK_VALUE,
    MERGES,
    VOCABULARY,
    between,
    ends,
    front_ends,
    of_features,
    of_ids,
    other_direction,
    recurrent_layers,
    skip,
)

Array = NDArray[np.float32]


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
    """In float32."""
    return [label for label in LABELS if network.implementations[label] is None]


def time_major(array: NDArray[np.generic], device: str = "cpu") -> torch.Tensor:
    return torch.tensor(array.swapaxes(0, 1).copy(), device=device)


def public_states(state: RecurrentState) -> dict[str, Array]:
    return {columns.key: state.view(columns.layer_index, columns.state).cpu().numpy() for columns in state.layout.public}


def agree(actual: NDArray[np.floating], expected: NDArray[np.floating], what: str) -> None:
    """Within rounding: each step mixes all numbers of the one before, so that the largest of them sets the scale of all."""
    largest = float(np.abs(expected).max(initial=0.0, where=np.isfinite(expected)))
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=max(2e-6, 1e-5 * largest), err_msg=what)


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
            steps = shapes[name].step_count.steps(length)
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


@st.composite
def stacks(draw: st.DrawFn, *, fusable: bool, causal: bool) -> ModelSpec:
    """One to three recurrent levels, perhaps bidirectional, with other layers before, between, beside and after."""
    ids, fixed = draw(st.booleans()), not causal and draw(st.booleans())
    width, time_steps = None if ids else draw(st.integers(1, 4)), draw(st.integers(6, 8)) if fixed else None
    given = InputSpec(name="x", kind="ids" if ids else "features", width=width, time_steps=time_steps)
    layers: list[LayerSpec] = list(draw(st.sampled_from(of_ids("x") if ids else of_features("x"))))
    last = layers[-1].name if layers else "x"
    if not causal and draw(st.booleans()):
        layers += draw(st.sampled_from(front_ends(last)))
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
            layers += other_direction(layer, draw(st.sampled_from(("concat", "sum", "multiply", "average"))))
        last = layers[-1].name
        layers += draw(st.sampled_from(between(f"between{level}", last)))
        last = layers[-1].name
        if sequences and below != "x" and draw(st.booleans()):
            layers += skip(
                f"skip{level}", below, last, draw(st.sampled_from(MERGES)), draw(st.sampled_from(("all", "any", "always")))
            )
            last = layers[-1].name
    if sequences:
        layers += draw(st.sampled_from(ends(last, causal=causal, fixed=fixed)))
    outputs = (layers[-1].name, *draw(st.lists(st.sampled_from(states), max_size=2, unique=True)))
    return ModelSpec(inputs=(given,), layers=tuple(layers), outputs=outputs)


@st.composite
def cases(draw: st.DrawFn, *, fusable: bool = True, causal: bool = False) -> Case:
    spec = draw(stacks(fusable=fusable, causal=causal))
    fewest, required = minimum_time_steps(spec), required_time_steps(spec)
    possible = st.integers(fewest, fewest + 6) if required is None else st.just(required)
    lengths = tuple(draw(st.lists(possible, min_size=1, max_size=4)))
    generator = np.random.default_rng(draw(st.integers(0, 2**16)))
    rows, steps = len(lengths), max(lengths) + (draw(st.integers(0, 2)) if required is None else 0)
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
