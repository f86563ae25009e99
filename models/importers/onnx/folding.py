"""What a node makes of numbers that are known: computed by onnxruntime, an operator at a time. Knows no networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import NodeProto, helper

from cellserve.models.importers.onnx.values import NotTranslated

Array = npt.NDArray[Any]
IR_VERSION: Final = 8
NEWEST_OPSET: Final = 26  # of those that onnxruntime 1.31 runs; later ones changed nothing that is followed here
NEVER: Final = frozenset(
    {"Loop", "Scan", "If", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
LARGEST_NUMBERS: Final = 1 << 28
SMALL_NUMBERS: Final = 64


def options() -> onnxruntime.SessionOptions:
    """One thread, no word on standard error, and no files."""
    made = onnxruntime.SessionOptions()
    made.intra_op_num_threads = made.inter_op_num_threads = 1
    made.log_severity_level = 4
    return made


class Folding:
    """`opset`: the file's own, whose meaning of each operator counts."""

    def __init__(self, opset: int) -> None:
        self._opset = min(opset, NEWEST_OPSET)
        self._done: dict[tuple[object, ...], tuple[NodeProto, list[Array | None], list[Array]]] = {}

    def fold(self, node: NodeProto, given: Sequence[Array | None]) -> list[Array]:
        """One array for each output. Raises NotTranslated: not an operator on numbers, or one that fails on these."""
        key = (id(node), *map(_identity, given))
        if key not in self._done:
            self._done[key] = node, list(given), self._folded(node, given)  # what the key names stays alive
        return self._done[key][2]

    def _folded(self, node: NodeProto, given: Sequence[Array | None]) -> list[Array]:
        if node.op_type in NEVER:
            raise NotTranslated(f"{node.op_type} is not followed")
        if sum(array.size for array in given if array is not None) > LARGEST_NUMBERS:
            raise NotTranslated(f"{node.op_type} is given more numbers than a network's constants are")
        copied = NodeProto()
        copied.CopyFrom(node)
        copied.domain = ""
        del copied.input[:], copied.output[:]
        copied.input.extend("" if array is None else f"x{place}" for place, array in enumerate(given))
        copied.output.extend(f"y{place}" if name else "" for place, name in enumerate(node.output))
        entries = [
            helper.make_tensor_value_info(f"x{place}", helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for place, array in enumerate(given)
            if array is not None
        ]
        graph = helper.make_graph([copied], "one", entries, [helper.make_empty_tensor_value_info(y) for y in copied.output if y])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self._opset)], ir_version=IR_VERSION)
        try:
            session = onnxruntime.InferenceSession(model.SerializeToString(), options(), providers=["CPUExecutionProvider"])
            made = session.run(None, {f"x{place}": array for place, array in enumerate(given) if array is not None})
        except MemoryError:
            raise
        except Exception as error:  # onnxruntime's own kinds, which share no base
            what = " ".join(str(error).split())[:300]
            raise NotTranslated(f"onnxruntime does not compute {node.op_type} of its constants: {what}") from error
        arrays = iter(np.asarray(array) for array in made)
        return [next(arrays) if name else np.empty(0) for name in node.output]


def _identity(array: Array | None) -> object:
    """Small arrays by what they hold, large ones by which they are."""
    if array is None:
        return None
    return (array.dtype.str, array.shape, array.tobytes()) if array.size <= SMALL_NUMBERS else id(array)
