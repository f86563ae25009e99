"""A recorder without a device, as strict as one; and what a device refuses while it records, seen in torch's dispatcher.

FakeRecorder keeps the operations of a run and repeats these alone, as a device does: what Python decides afterwards has no
effect. It gives answers in memory of its own, which it spoils before each repetition of any run; so whoever keeps an answer
without copying it finds NaN, and ids that do not exist.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from cellserve.models.chunk_body import Advance, Advanced
from cellserve.models.recording.recorder import Answer
from cellserve.models.state import RecurrentState

_REFUSED = (
    "lift_fresh",  # numbers of a list
    "_local_scalar_dense",  # a number in Python
    "nonzero",
    "masked_select",
    "is_nonzero",
    "equal",
)


class RefusedWhileRecording(RuntimeError):
    """What a CUDA device says of a run that waits for it or brings something from the host."""


class Operation(NamedTuple):
    function: Any
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    result: Any


class Tape(TorchDispatchMode):
    """Keeps every operation; raises RefusedWhileRecording at the first that could not be recorded on `device`."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device
        self._operations: list[Operation] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in _REFUSED:
            raise RefusedWhileRecording(f"{name} while recording")
        result = func(*args, **(kwargs or {}))
        for one in tree_flatten(result)[0]:
            if isinstance(one, Tensor) and one.device.type != self._device.type:
                raise RefusedWhileRecording(f"{name} makes something on {one.device} while recording")
        self._operations.append(Operation(func, args, kwargs or {}, result))
        return result

    def repeat(self, wanted: list[Tensor]) -> list[Tensor]:
        """What stands in the place of `wanted`, tensors of the recorded run, when its operations are done again."""
        now: dict[int, Any] = {}

        def present(one: Any) -> Any:
            return now.get(id(one), one)

        for operation in self._operations:
            arguments, options = tree_map(present, (operation.arguments, operation.options))
            result = operation.function(*arguments, **options)
            now |= zip(map(id, tree_flatten(operation.result)[0]), tree_flatten(result)[0])
        return [present(tensor) for tensor in wanted]


class FakeRecorder:
    """`recorded` and `repeated` count. `refuses`: raises instead of recording. `off_by`: is added to every repeated number."""

    def __init__(self, *, refuses: bool = False, off_by: float = 0.0) -> None:
        self.recorded = 0
        self.repeated = 0
        self._refuses = refuses
        self._off_by = off_by
        self._answers: list[Tensor] = []

    @torch.inference_mode()
    def record(self, run: Callable[[], Answer]) -> Callable[[], Answer]:
        tape = Tape(torch.device("cpu"))
        with tape:
            made = cast(Advanced, run())
        if self._refuses:
            raise RefusedWhileRecording("nothing can be recorded here")
        self.recorded += 1
        answer = _copied(made)
        self._answers += _tensors(answer)

        def repeat() -> Answer:
            self.repeated += 1
            for tensor in self._answers:
                tensor.fill_(torch.nan if tensor.is_floating_point() else 10**9)
            for kept, new in zip(_tensors(answer), tape.repeat(_tensors(made)), strict=True):
                kept.copy_(new + self._off_by if self._off_by else new)
            return cast(Answer, answer)

        return repeat


def _tensors(answer: Advanced) -> list[Tensor]:
    made, state = answer
    return [*made.sequences.values(), *made.vectors.values(), state.data]


def _copied(answer: Advanced) -> Advanced:
    made, state = answer
    sequences = {name: tensor.clone() for name, tensor in made.sequences.items()}
    vectors = {name: tensor.clone() for name, tensor in made.vectors.items()}
    return Advance(sequences, vectors), RecurrentState(state.layout, state.data.clone())
