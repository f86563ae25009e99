"""A session of ONNX Runtime, as all of ours are: on the calling thread alone, on a processor. Knows no networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from cellserve.models.implementations.onnxruntime.graph import Model

Run = Callable[[Sequence[str], Mapping[str, NDArray[Any]]], list[NDArray[Any]]]


class Session:
    """run: what is wanted by name, given the inputs by name. Runs may overlap. `unseen_bytes`: of the numbers that it holds."""

    __slots__ = ("_session", "run", "unseen_bytes")

    def __init__(self, session: InferenceSession, unseen_bytes: int) -> None:
        self._session = session
        self.unseen_bytes = unseen_bytes
        self.run: Run = session.run


def new_session(model: Model) -> Session:
    """No plans are kept per shape, because chunks come in all shapes. The library is imported with the first one.

    The runtime copies the arrays that are beside the model, without holding the interpreter.
    """
    from onnxruntime import InferenceSession, OrtValue, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = False
    values = [OrtValue.ortvalue_from_numpy(array) for array in model.arrays.values()]
    options.add_external_initializers(list(model.arrays), values)
    session = InferenceSession(model.content, options, providers=["CPUExecutionProvider"])
    return Session(session, sum(array.nbytes for array in model.arrays.values()))
