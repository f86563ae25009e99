"""Whether a network's way in one call over host memory answers a golden pair, in chunks of uneven length.

Imports nothing that computes: the call has imported what it needs. Knows no other way (parity.py), no repository, no service.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.implementations.onnxruntime.chunk_call import ChunkCall
from cellserve.models.measuring.golden_pair import GoldenPair
from cellserve.models.measuring.parity_bounds import largest_difference
from cellserve.models.network import Network

Array = npt.NDArray[Any]
Answer = tuple[tuple[Array, ...], Mapping[str, Array]]

CHUNKS: Final = (1, 3, 2)  # uneven cuts, repeated


def verify_call(network: Network, golden: GoldenPair, bound: float, implementation: str, call: ChunkCall) -> float:
    """The largest difference from a golden pair of which no step is masked. Raises ParityFailure."""
    where = f"implementation {implementation!r}, run in chunks of one call each"
    return difference(where, network, golden, _in_chunk_calls(network, golden, call), bound)


def difference(where: str, network: Network, golden: GoldenPair, answer: Answer, bound: float) -> float:
    """The largest of an answer. Raises ParityFailure."""
    largest, (outputs, state) = 0.0, answer
    for name, expected, found in zip(network.spec.outputs, golden.outputs, outputs, strict=True):
        shape = network.shapes[name]
        lengths = [shape.step_count.steps(length) for length in golden.lengths] if shape.sequence else None
        largest = max(largest, largest_difference(f"{where}: output {name!r}", expected, found, lengths, bound))
    for key, expected in golden.state.items():
        largest = max(largest, largest_difference(f"{where}: state {key!r}", expected, state[key], None, bound))
    return largest


def chunks(steps: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of each, as long as the next of CHUNKS."""
    start, turn = 0, 0
    while start < steps:
        stop = min(start + CHUNKS[turn % len(CHUNKS)], steps)
        yield start, stop
        start, turn = stop, turn + 1


def _in_chunk_calls(network: Network, golden: GoldenPair, call: ChunkCall) -> Answer:
    """Rows leave as they end."""
    lengths, rows = golden.first_lengths, list(range(len(golden.lengths)))
    state = np.zeros((len(rows), network.state_layout.width), np.float32)
    outputs = tuple(np.zeros(array.shape, dtype=np.float32) for array in golden.outputs)
    for start, stop in chunks(max(lengths)):
        stops = [min(lengths[row], stop) for row in rows]
        ended = [place for place, row in enumerate(rows) if lengths[row] <= stop]
        steps = np.ascontiguousarray(golden.inputs[0][rows, start : max(stops)])
        answer = call(steps, [end - start for end in stops], state[rows], ended)
        state[rows] = answer.state
        for name, whole, found in zip(network.spec.outputs, outputs, answer.outputs):
            if network.shapes[name].sequence:
                for row, end, part in zip(rows, stops, found):
                    whole[row, start:end] = part[: end - start]
            else:
                whole[[rows[place] for place in ended]] = found
        rows = [row for row in rows if lengths[row] > stop]
    return outputs, {one.key: state[:, one.start : one.start + one.width] for one in network.state_layout.public}
