"""The gate of publishing: each implementation that can run a network must give the oracle's numbers, whole and however it is cut.

How far they may lie apart is decided in parity_bounds.py. Knows no repository and no service.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cellserve.models import reference
from cellserve.models.implementations import FLOAT32, IMPLEMENTATIONS
from cellserve.models.implementations.onnxruntime.chunk_call import ChunkCall
from cellserve.models.measuring.call_parity import Answer, chunks, difference, verify_call
from cellserve.models.measuring.golden_pair import GoldenPair, golden_inputs
from cellserve.models.measuring.parity_bounds import (
    BASE_BOUND,
    ParityFailure,
    bfloat16_bound,
    bound_in,
    no_bound,
    rounding_scale,
    tolerance,
)
from cellserve.models.measuring.pass_walk import walk
from cellserve.models.network import Network
from cellserve.models.passes.network import PassNetwork
from cellserve.models.spec import ModelSpec
from cellserve.models.state import RecurrentState
from cellserve.models.weights import Weights

__all__ = ["BASE_BOUND", "GoldenPair", "ParityFailure", "ParityReport", "check", "tolerance", "verify"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class ParityReport:
    """`bound`: |difference| was at most bound (1 + 5 |value|), in bfloat16 that of the golden pair. `differences`: the largest
    one of each implementation.
    """

    golden: GoldenPair
    bound: float
    differences: Mapping[str, float]
    refused: Mapping[str, str]


def check(spec: ModelSpec, weights: Weights, device: str = "cpu") -> ParityReport:
    """Runs everything on one small input of a fixed seed. Raises ParityFailure, and what Network raises."""
    inputs, lengths = golden_inputs(spec)
    outputs, state = reference.run(spec, weights.arrays, inputs, lengths)
    golden = GoldenPair(inputs, lengths, outputs, state)
    bound = BASE_BOUND * rounding_scale(spec, weights, golden)
    golden = replace(golden, bfloat16_bound=bfloat16_bound(spec, weights, golden, bound))
    network = Network(spec, weights, device)
    refused = {label: refusal for label, refusal in network.implementations.items() if refusal is not None}
    able = [label for label in network.implementations if label not in refused]
    verified = verify_each(network, golden, bound, able)
    kept = replace(
        golden,
        outputs=tuple(_float32(array) for array in outputs),
        state={key: _float32(array) for key, array in state.items()},
    )
    return ParityReport(kept, bound, verified.differences, refused | verified.refused)


@dataclass(frozen=True, slots=True)
class Verified:
    """As in ParityReport. refused: those that miss the pair in a precision that nobody gets who does not ask for it."""

    differences: dict[str, float] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def verify_each(network: Network, golden: GoldenPair, bound: float, labels: Iterable[str]) -> Verified:
    """bound: in float32. Raises ParityFailure: an implementation that computes in float32 misses the pair."""
    verified = Verified()
    for label in labels:
        precision = IMPLEMENTATIONS[label].precision
        own = bound_in(precision, golden, bound)
        if own is None:
            verified.refused[label] = no_bound(label)
            continue
        try:
            verified.differences[label] = verify(network, golden, own, label)
        except ParityFailure as failure:
            if precision == FLOAT32:
                raise
            verified.refused[label] = str(failure)
    return verified


def verify(network: Network, golden: GoldenPair, bound: float, implementation: str) -> float:
    """The largest difference of one implementation from a golden pair, whole and in chunks. Raises ParityFailure."""
    answers = [("whole", _whole(network, golden, implementation))]
    if network.causal:
        for _ in range(1 + network.settling_calls):  # unrecorded, and as recorded, where chunks are
            answers.append(("in chunks", _in_chunks(network, golden, implementation)))
    if network.passes is not None:
        answers.append(("in passes", _in_passes(network, network.passes, golden, implementation)))
    where = f"implementation {implementation!r}, run"
    largest = max(difference(f"{where} {manner}", network, golden, answer, bound) for manner, answer in answers)
    call = network.chunk_call(implementation)
    plain = None if call is None else _unmasked(network, golden, call, implementation)
    if call is not None and plain is not None:
        largest = max(largest, verify_call(network, plain, bound, implementation, call))
    return largest


def _whole(network: Network, golden: GoldenPair, implementation: str) -> Answer:
    inputs = tuple(_time_major(network, index, array) for index, array in enumerate(golden.inputs))
    outputs, state = network.run(inputs, golden.lengths, implementation=implementation)
    return tuple(_batch_major(network, index, tensor) for index, tensor in enumerate(outputs)), _states(network, state)


def _in_chunks(network: Network, golden: GoldenPair, implementation: str) -> Answer:
    """Rows leave as they end; every chunk is as long as the next of CHUNKS."""
    inputs = _time_major(network, 0, golden.inputs[0])
    lengths, rows = golden.first_lengths, list(range(len(golden.lengths)))
    state, final = network.initial_state(len(rows)), network.initial_state(len(rows))
    outputs = tuple(np.zeros(array.shape, dtype=np.float32) for array in golden.outputs)
    for start, stop in chunks(max(lengths)):
        steps = [min(lengths[row], stop) - start for row in rows]
        made, state = network.advance(inputs[start:stop, rows], steps, state, implementation=implementation)
        ended = [place for place, row in enumerate(rows) if lengths[row] <= stop]
        for index, tensor in enumerate(network.finish(made, list(range(len(rows))))):
            found = _batch_major(network, index, tensor)
            if network.shapes[network.spec.outputs[index]].sequence:
                for place, row in enumerate(rows):
                    outputs[index][row, start : start + steps[place]] = found[place, : steps[place]]
            else:
                for place in ended:
                    outputs[index][rows[place]] = found[place]
        final.put([rows[place] for place in ended], state.take(ended))
        going = [place for place in range(len(rows)) if place not in ended]
        state, rows = state.take(going), [rows[place] for place in going]
    return outputs, _states(network, final)


def _in_passes(network: Network, passes: PassNetwork, golden: GoldenPair, implementation: str) -> Answer:
    """Pass by pass, each cut as in `_in_chunks`."""
    rows, state = walk(network, passes, golden.inputs, golden.lengths, chunks, implementation)
    outputs = tuple(np.zeros(array.shape, dtype=np.float32) for array in golden.outputs)
    for row, found in enumerate(rows):
        for name, whole, part in zip(network.spec.outputs, outputs, found):
            if network.shapes[name].sequence:
                whole[row, : len(part)] = part
            else:
                whole[row] = part
    return outputs, _states(network, state)


def _unmasked(network: Network, golden: GoldenPair, call: ChunkCall, implementation: str) -> GoldenPair | None:
    """The golden pair; if layers mask steps of it, one without such steps, answered whole. None if there are no other steps."""
    inputs = golden.inputs[0]
    flat = inputs.reshape(-1, *inputs.shape[2:])
    if not call.refuses(flat):
        return golden
    other = np.stack([step + 1 if call.refuses(step[np.newaxis]) else step for step in flat]).astype(inputs.dtype)
    if call.refuses(other) or (inputs.ndim == 2 and other.max() > inputs.max()):
        return None
    plain = replace(golden, inputs=(other.reshape(inputs.shape),))
    outputs, state = _whole(network, plain, implementation)
    return replace(plain, outputs=outputs, state=state)


def _time_major(network: Network, index: int, array: Array) -> torch.Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(array)).to(network.device)
    return tensor if network.spec.inputs[index].kind == "vector" else tensor.transpose(0, 1).contiguous()


def _batch_major(network: Network, index: int, tensor: torch.Tensor) -> Array:
    sequence = network.shapes[network.spec.outputs[index]].sequence
    return (tensor.transpose(0, 1) if sequence else tensor).cpu().numpy()


def _states(network: Network, state: RecurrentState) -> dict[str, Array]:
    columns = network.state_layout.public
    return {one.key: state.view(one.layer_index, one.state).cpu().numpy() for one in columns}


def _float32(array: Array) -> Array:
    return array.astype(np.float32)
