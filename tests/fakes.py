"""Fakes shared by the tests: a network whose numbers are predictable, a clock moved by hand, ears that remember.

FakeNetwork has the face of cellserve.models.network.Network and is a running sum: the state is the sum of the valid steps so far
(it starts from the initial state), output 0 is the sum after each step, output 1 the sum at the row's end. With integer inputs
every answer is exact, whatever the batch and the chunks: `running_sum` says what it must be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Condition
from weakref import WeakSet

import numpy as np
import torch

from cellserve.models.description.layers.cells import SimpleRnnLayer
from cellserve.models.description.layers.rows import LastStepLayer, ReverseLayer
from cellserve.models.description.layers.stepwise import ActivationLayer
from cellserve.models.description.shapes import infer_shapes
from cellserve.models.description.state_layout import StateColumns, StateLayout
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.passes.chunk import PassAdvance, PassChunk
from cellserve.models.passes.memory import PassMemory
from cellserve.models.passes.network import PassNetwork
from cellserve.models.spec import InputSpec, ModelSpec
from cellserve.models.state import RecurrentState
from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.facts import IterationFact, SequenceFact

POISON = 666.0  # a network that meets this input raises


class FakeClock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now_seconds = 1000.0

    def __call__(self) -> float:
        return self.now_seconds

    def advance(self, seconds: float) -> None:
        self.now_seconds += seconds


class FakeAdvance:
    """What FakeNetwork.finish needs."""

    def __init__(self, sums: torch.Tensor, ends: torch.Tensor) -> None:
        self.sums = sums  # [T, B, width]
        self.ends = ends  # [B, width]


class FakePasses(PassNetwork):
    """The running sum in three passes: summed, turned round, turned round again. `compute` is a FakeNetwork's.

    `memories`: all that are still held by somebody.
    """

    def __init__(self, width: int, layout: StateLayout, compute: Callable[..., torch.Tensor]) -> None:
        spec = ModelSpec(
            inputs=(InputSpec(name="x", width=width),),
            layers=(
                SimpleRnnLayer(name="summed", inputs=("x",), units=width, return_sequences=True, activation="linear"),
                ReverseLayer(name="turned", inputs=("summed",)),
                ReverseLayer(name="sums", inputs=("turned",)),
                LastStepLayer(name="end", inputs=("sums",)),
            ),
            outputs=("sums", "end"),
        )
        super().__init__(spec, infer_shapes(spec), None, layout, torch.device("cpu"))  # type: ignore[arg-type]
        self.spec = spec
        self.memories: WeakSet[PassMemory] = WeakSet()
        self._compute = compute

    def memory(self, inputs: Sequence[np.ndarray], mask: np.ndarray | None) -> PassMemory:
        made = super().memory(inputs, mask)
        self.memories.add(made)
        return made

    def advance(
        self, index: int, chunk: PassChunk, state: RecurrentState, *, implementation: str, ended_states: bool = True
    ) -> tuple[PassAdvance, RecurrentState]:
        if index == 0:
            mask = chunk.masks.get(("onward", "x"))
            sums = self._compute(chunk.sequences["onward", "x"], chunk.lengths, state.data, mask, implementation)
            state = RecurrentState(state.layout, sums[-1].clone())
            if not ended_states:
                state.data[torch.tensor(chunk.lengths) < len(sums)] = torch.nan
            return PassAdvance({"summed": sums}, {}, {}, {}), state
        turned = chunk.sequences["turned", ("summed", "turned")[index - 1]]
        self._compute(torch.zeros_like(turned), chunk.lengths, state.data, None, implementation)
        rows = torch.arange(len(chunk.lengths))
        ends = {"end": turned[torch.tensor(chunk.lengths) - 1, rows]} if index == 2 else {}
        return PassAdvance({("turned", "sums")[index - 1]: turned}, {}, ends, {}), state

    def finish(
        self, index: int, made: PassAdvance, chunk: PassChunk, memories: Sequence[PassMemory], rows: Sequence[int]
    ) -> dict[str, torch.Tensor]:
        return {name: vector[list(rows)] for name, vector in made.vectors.items()}


class FakeNetwork:
    """`cost(rows, steps)`: seconds by which each call moves `clock`. `before`: called at the start of each call, may raise.

    `calls` lists (rows, steps, implementation) of every call. Not `causal`, it takes three passes. Not `interpreted`, its
    default implementation is one of which each worker may run a batch.
    """

    def __init__(
        self,
        width: int = 2,
        *,
        causal: bool = True,
        clock: FakeClock | None = None,
        cost: Callable[[int, int], float] = lambda rows, steps: 0.0,
        before: Callable[[], None] = lambda: None,
        interpreted: bool = True,
    ) -> None:
        body = ActivationLayer(name="sums", inputs=("x",), activation="linear")
        self.spec = ModelSpec(
            inputs=(InputSpec(name="x", width=width),),
            layers=(body, LastStepLayer(name="end", inputs=("sums",))),
            outputs=("sums", "end"),
        )
        self.shapes = {name: TensorShape(name != "end", (width,)) for name in ("x", "sums", "end")}
        self.state_layout = StateLayout((StateColumns(0, "sums", "h", 0, width),), width)
        self.device = torch.device("cpu")
        self.weights_bytes = 4 * width
        self.causal = causal
        self.passes: FakePasses | None = None
        if not causal:
            self.passes = FakePasses(width, self.state_layout, self._sums)
            self.spec = self.passes.spec
        self.implementations = {"0": None, "1": None, "2": None, "fused": "layer 'sums': sums are not fused"}
        if not interpreted:
            self.implementations["onnxruntime"] = None
        self.default_implementation = "2" if interpreted else "onnxruntime"
        self.settling_calls = 0
        self.calls: list[tuple[int, int, str]] = []
        self._clock = clock
        self._cost = cost
        self._before = before

    @property
    def offered(self) -> list[str]:
        return [label for label, refusal in self.implementations.items() if refusal is None]

    def initial_state(self, rows: int) -> RecurrentState:
        return RecurrentState.zeros(self.state_layout, rows, self.device)

    def advance(
        self,
        inputs: torch.Tensor,
        lengths: Sequence[int],
        state: RecurrentState,
        *,
        mask: torch.Tensor | None = None,
        implementation: str,
        ended_states: bool = True,
    ) -> tuple[FakeAdvance, RecurrentState]:
        sums = self._sums(inputs, lengths, state.data, mask, implementation)
        state = sums[-1].clone()
        if not ended_states:
            state[torch.tensor(lengths) < len(inputs)] = torch.nan
        return FakeAdvance(sums, sums[-1]), RecurrentState(self.state_layout, state)

    def _sums(
        self,
        inputs: torch.Tensor,  # [T, B, width]
        lengths: Sequence[int],
        start: torch.Tensor,  # [B, width]
        mask: torch.Tensor | None,  # [T, B] bool
        implementation: str,
    ) -> torch.Tensor:
        steps, rows = inputs.shape[:2]
        self._before()
        self.calls.append((rows, steps, implementation))
        valid = torch.arange(steps)[:, None] < torch.tensor(lengths)
        if (inputs[valid] == POISON).any():
            raise RuntimeError("poisoned")
        if mask is not None:
            valid &= mask
        if self._clock is not None:
            self._clock.advance(self._cost(rows, steps))
        return start + torch.cumsum(torch.where(valid[..., None], inputs, 0.0), dim=0)

    def finish(self, advance: FakeAdvance, rows: Sequence[int]) -> tuple[torch.Tensor, ...]:
        return advance.sums[:, list(rows)], advance.ends[list(rows)]

    def chunk_call(self, implementation: str) -> None:
        """It has no such way."""

    def run(
        self,
        inputs: tuple[torch.Tensor, ...],
        lengths: Sequence[int],
        state: RecurrentState | None = None,
        *,
        mask: torch.Tensor | None = None,
        implementation: str,
        ended_states: bool = True,
    ) -> tuple[tuple[torch.Tensor, ...], RecurrentState]:
        start = self.initial_state(len(lengths)) if state is None else state
        made, final = self.advance(inputs[0], lengths, start, mask=mask, implementation=implementation, ended_states=ended_states)
        return self.finish(made, range(len(lengths))), final

    def warm_up(self, implementation: str) -> None:
        self.run((torch.zeros(2, 2, self.state_layout.width),), [2, 1], implementation=implementation)


def running_sum(
    inputs: np.ndarray, mask: np.ndarray | None = None, state: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """What FakeNetwork answers to [T, width] alone: (sums after each step [T, width], sum at the end [width])."""
    valid = inputs if mask is None else np.where(mask[:, None], inputs, 0)
    sums = np.cumsum(valid, axis=0, dtype=np.float32) + (0 if state is None else state)
    return sums.astype(np.float32), sums[-1].astype(np.float32)


class RecordingObserver:
    """Remembers every fact."""

    def __init__(self) -> None:
        self.iterations: list[IterationFact] = []
        self.ends: list[SequenceFact] = []

    def on_iteration(self, fact: IterationFact) -> None:
        self.iterations.append(fact)

    def on_sequence_end(self, fact: SequenceFact) -> None:
        self.ends.append(fact)


class DeliveryBox:
    """A `deliver` that keeps what arrives, from any thread, and lets a test wait for it."""

    def __init__(self) -> None:
        self.calls: list[list[Delivery]] = []
        self._changed = Condition()

    def __call__(self, deliveries: list[Delivery]) -> None:
        with self._changed:
            self.calls.append(deliveries)
            self._changed.notify_all()

    @property
    def all(self) -> list[Delivery]:
        """In the order of arrival."""
        return [delivery for call in self.calls for delivery in call]

    def of(self, sequence_id: int) -> Delivery:
        """The one delivery of a sequence; fails unless there is exactly one."""
        (delivery,) = (delivery for delivery in self.all if delivery.sequence_id == sequence_id)
        return delivery

    def wait(self, count: int, timeout_seconds: float = 30.0) -> list[Delivery]:
        """Blocks until `count` have arrived; the time-out only keeps a broken test from hanging."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.all) >= count, timeout_seconds), f"{len(self.all)} of {count} arrived"
        return self.all
