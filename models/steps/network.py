"""A step model that can be served: what `Network` is to layers, this is to a graph that gives its states back.

It has one implementation, onnxruntime, and runs on the processor, whatever device other networks lie on. Knows no versions, no
requests, no threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.description.state_layout import StateLayout
from cellserve.models.description.step_model import StepModel
from cellserve.models.devices import Device
from cellserve.models.errors import Unsupported
from cellserve.models.implementations.onnxruntime.chunk_call import ChunkAnswer
from cellserve.models.steps.call import Row, StepCall
from cellserve.models.steps.graph_file import GraphFile

Array = npt.NDArray[Any]
LABEL: Final = "onnxruntime"
REFUSAL: Final = "this model is an ONNX graph that is called as it is, which onnxruntime alone does"


class StepNetwork:
    """`implementations`: as of a Network. others: the labels that there are beside onnxruntime.

    Raises InvalidWeights: onnxruntime does not load the graph.
    """

    causal: Final = True
    passes: Final = None
    settling_calls: Final = 0

    def __init__(self, spec: StepModel, graph: GraphFile, others: Sequence[str] = ()) -> None:
        self.spec = spec
        self.shapes = spec.shapes()
        self.state_layout = StateLayout.of(spec)
        labels = {label: REFUSAL for label in others if label != LABEL}
        self.implementations: Mapping[str, str | None] = MappingProxyType({**labels, LABEL: None})
        self.device = Device("cpu")
        self.weights_bytes = len(graph.content)  # the graph itself, which is little beside them
        self._call = StepCall(spec, graph.session(), self.state_layout)

    @property
    def offered(self) -> list[str]:
        """[onnxruntime], unless it has been withdrawn."""
        return [label for label, refusal in self.implementations.items() if refusal is None]

    @property
    def default_implementation(self) -> str:
        return LABEL

    def withdraw(self, implementation: str, reason: str) -> None:
        """Refuses an implementation from now on, such as one whose numbers were found wrong on this machine."""
        self.implementations = MappingProxyType({**self.implementations, implementation: reason})

    def advance(self, rows: Sequence[Row], states: npt.NDArray[np.float32]) -> tuple[list[list[Array]], npt.NDArray[np.float32]]:
        """What each row answers, and the states [B, width] behind it. Raises whatever onnxruntime raises."""
        return self._call.advance(rows, states)

    def chunk_call(self, implementation: str) -> FrameCall | None:
        """What advances frames of rows side by side, where there is one input and a call takes a frame; as of a Network.

        Raises Unsupported: another implementation than the one there is.
        """
        if (refusal := self.implementations.get(implementation, REFUSAL)) is not None:
            raise Unsupported(refusal)
        if self.spec.whole_feeds or len(self.spec.inputs) > 1:
            return None
        return FrameCall(self._call)

    def warm_up(self, implementation: str) -> None:
        """Two short rows, so that memory is allocated before the first request."""
        if self.implementations.get(implementation, REFUSAL) is None and self.chunk_call(implementation) is not None:
            entry = self.spec.inputs[0]
            shape = (2, 1) if entry.width is None else (2, 1, entry.width)
            steps = np.zeros(shape, np.int64 if entry.kind == "ids" else np.float32)
            self._call.frames([steps], [1, 1], self.state_layout.first_rows(2))


class FrameCall:
    """As a ChunkCall: one input's frames, side by side, through run after run."""

    pads: Final = False
    masks: Final = False
    kinds_of_batches: Final = (1,)

    def __init__(self, call: StepCall) -> None:
        self._call = call

    def refuses(self, steps: Array) -> bool:
        """Nothing: nothing is ever masked."""
        return False

    def __call__(
        self,
        steps: Array,  # [B, T, F] float32, or ids [B, T] int64
        lengths: Sequence[int],  # [B], each 1 … T
        state: npt.NDArray[np.float32],  # [B, width]
        ending: Sequence[int],  # [E]: nothing depends on it, all outputs are sequences
    ) -> ChunkAnswer:
        outputs, after = self._call.frames([steps], lengths, state)
        return ChunkAnswer(tuple(outputs), after)
