"""Runs a golden case through the oracle or through one implementation. Knows no tolerances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cellserve.models import reference
from cellserve.models.importers import ImportedModel
from cellserve.models.network import Network
from cellserve.models.state import RecurrentState
from cellserve.models.state_layout import SEEN
from tests.golden.cases import GoldenCall, GoldenCase

Array = npt.NDArray[Any]
Answer = tuple[tuple[Array, ...], Mapping[str, Array]]

CHUNK_STEPS = 2


def by_oracle(case: GoldenCase, model: ImportedModel) -> list[Answer]:
    answers: list[Answer] = []
    state: Mapping[str, Array] | None = None
    for call in case.calls:
        outputs, state = reference.run(model.spec, model.weights.arrays, call.inputs, _lengths(call), state=state)
        answers.append((outputs, state))
    return answers


def by_network(case: GoldenCase, network: Network, implementation: str) -> list[Answer]:
    """Each call as a whole."""
    answers: list[Answer] = []
    state = network.initial_state(len(case.calls[0].inputs[0]))
    for call in case.calls:
        outputs, state = network.run(_inputs(network, call), _lengths(call), _new_call(state), implementation=implementation)
        answers.append((tuple(_batch_major(network, i, one) for i, one in enumerate(outputs)), _states(state)))
    return answers


def by_network_in_chunks(case: GoldenCase, network: Network, implementation: str) -> list[Answer]:
    """Each call cut into chunks of two steps, as the engine cuts it. Causal networks only."""
    answers: list[Answer] = []
    rows = list(range(len(case.calls[0].inputs[0])))
    state = network.initial_state(len(rows))
    for call in case.calls:
        (inputs,) = _inputs(network, call)
        state, parts = _new_call(state), []
        for chunk in inputs.split(CHUNK_STEPS):
            made, state = network.advance(chunk, [len(chunk)] * len(rows), state, implementation=implementation)
            parts.append([_batch_major(network, i, one) for i, one in enumerate(network.finish(made, rows))])
        sequences = [network.shapes[name].sequence for name in network.spec.outputs]
        outputs = tuple(
            np.concatenate(pieces, axis=1) if sequence else pieces[-1]
            for sequence, pieces in zip(sequences, zip(*parts), strict=True)
        )
        answers.append((outputs, _states(state)))
    return answers


def pairs(case: GoldenCase, answers: list[Answer]) -> list[tuple[str, Array, Array]]:
    """(what, expected, found) for every output and every known state of every call."""
    listed: list[tuple[str, Array, Array]] = []
    for number, (call, (outputs, states)) in enumerate(zip(case.calls, answers, strict=True)):
        for index, (expected, found) in enumerate(zip(call.outputs, outputs, strict=True)):
            listed.append((f"call {number}, output {index}", expected, found))
        listed += [(f"call {number}, state {key}", expected, states[key]) for key, expected in call.states.items()]
    return listed


def _new_call(state: RecurrentState) -> RecurrentState:
    """What a framework keeps between calls: the states, but not what was emitted last."""
    kept = RecurrentState(state.layout, state.data.clone())
    for columns in state.layout.columns:
        if columns.state == SEEN:
            kept.view(columns.layer_index, SEEN).zero_()
    return kept


def _lengths(call: GoldenCall) -> list[int]:
    return [call.inputs[0].shape[1]] * len(call.inputs[0])


def _inputs(network: Network, call: GoldenCall) -> tuple[torch.Tensor, ...]:
    tensors = []
    for entry, array in zip(network.spec.inputs, call.inputs, strict=True):
        tensor = torch.from_numpy(array.astype(np.int64) if entry.kind == "ids" else array)
        tensors.append(tensor if entry.kind == "vector" else tensor.transpose(0, 1).contiguous())
    return tuple(tensors)


def _batch_major(network: Network, index: int, tensor: torch.Tensor) -> Array:
    return (tensor.transpose(0, 1) if network.shapes[network.spec.outputs[index]].sequence else tensor).numpy()


def _states(state: RecurrentState) -> dict[str, Array]:
    return {one.key: state.view(one.layer_index, one.state).numpy() for one in state.layout.public}
