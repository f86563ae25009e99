"""What torch's own operations make of numbers: of a program's constants, and of whole inputs, call by call.

Only the operations that are listed are run, all of them functions of numbers; the program has no other code to offer. Everything
is computed in float32 and as at inference.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from cellserve.models.importers.onnx.runtime import NotRun
from cellserve.models.importers.pytorch.export.program import Call, Named, Program

Array = npt.NDArray[Any]
NARROW: Final = (torch.float16, torch.bfloat16, torch.float64)
LARGEST_NUMBERS: Final = 1 << 28
ELSEWHERE: Final = frozenset({"device", "layout", "pin_memory", "memory_format", "non_blocking", "copy"})  # where, not what
TRAINING: Final = frozenset({"train", "training"})
MAKING: Final = frozenset({"zeros", "ones", "full", "new_zeros", "new_ones", "new_full", "empty", "expand", "repeat", "arange"})
OF_WEIGHTS: Final = frozenset(
    {
        "_weight_norm_interface",
        "_weight_norm",
        "norm_except_dim",
        "norm",
        "linalg_vector_norm",
        "mv",
        "dot",
        "vdot",
        "reciprocal",
        "rsqrt",
    }
    | {"expand_as", "copy", "fill", "arange", "tril", "triu", "eq", "ne", "lt", "le", "gt", "ge", "logical_not", "where", "sum"}
    | {"masked_fill", "view_as", "empty", "sin", "cos", "outer", "index", "scalar_tensor", "eye", "maximum", "minimum", "square"}
    | {"new_full", "new_zeros", "new_ones", "full_like", "ones_like", "zeros_like", "floor_divide", "numpy_T", "linalg_norm"}
    | {"copy_", "fill_", "zero_", "numel", "var", "var_mean", "native_group_norm"}
)
"""What programs compute of their parameters before anything is fed: weight norms, spectral norms, encodings of positions."""
COMPARING: Final = ("eq", "ne", "lt", "le", "gt", "ge")
ARITHMETIC: Final[Mapping[str, Callable[..., Any]]] = {
    **{name: getattr(operator, name) for name in ("add", "sub", "mul", "floordiv", "truediv", "mod", "neg", *COMPARING)},
    "sym_max": max,
    "sym_min": min,
    "sym_float": float,
    "sym_int": int,
    "trunc": int,
}
"""Of whole numbers, which depend on shapes."""
IGNORED: Final = frozenset(
    {"_assert_scalar", "_assert_tensor_metadata", "_assert_async", "sym_constrain_range", "sym_constrain_range_for_size"}
)


class NotAllowed(Exception):
    """An operation that is not run here; the message is its name."""


def is_ignored(call: Call) -> bool:
    """Whether it only asserts something."""
    return call.operator in IGNORED


def is_arithmetic(call: Call) -> bool:
    return call.operation.startswith(("_operator.", "math.", "torch.sym_")) and call.operation.split(".")[-1] in ARITHMETIC


def evaluated(call: Call, scope: Mapping[str, Any], allowed: frozenset[str]) -> list[Any]:
    """One value for each output. Raises NotAllowed; whatever torch raises."""
    given = {name: _value(one, scope) for name, one in call.given.items() if name not in ELSEWHERE}
    if is_arithmetic(call):
        return [ARITHMETIC[call.operation.split(".")[-1]](*given.values())]
    if call.operator == "sym_size":
        return [int(given["self"].shape[given["dim"]])]
    if call.operator == "sym_numel":
        return [int(given["self"].numel())]
    namespace, _, rest = call.operation.partition(".")
    name, _, overload = rest.partition(".")
    if namespace != "aten" or name not in allowed | OF_WEIGHTS:
        raise NotAllowed(call.operation)
    if name in MAKING:
        _bound(given)
    given |= dict.fromkeys(TRAINING & given.keys(), False)
    made = getattr(getattr(torch.ops.aten, name), overload or "default")(**given)
    return list(made) if isinstance(made, tuple | list) else [made]


def _value(one: Any, scope: Mapping[str, Any]) -> Any:
    if isinstance(one, Named):
        return scope[one.name]
    if isinstance(one, list):
        return [_value(item, scope) for item in one]
    return torch.float32 if isinstance(one, torch.dtype) and one in NARROW else one


def _bound(given: Mapping[str, Any]) -> None:
    sizes = [prod(int(size) for size in one) for one in given.values() if isinstance(one, list)]
    sizes += [int(one) for one in given.values() if isinstance(one, int)]
    if max(sizes, default=0) > LARGEST_NUMBERS:
        raise NotRun("it makes more numbers than a network's constants are")


class TorchRuntime:
    """What torch answers with a program. `outputs`: those that are wanted; `allowed`: the operations that may run."""

    def __init__(self, program: Program, outputs: Sequence[str], allowed: frozenset[str]) -> None:
        self._program = program
        self._outputs = tuple(outputs)
        self._allowed = allowed
        self._constants = {name: widened(tensor) for name, tensor in program.constants.items()}

    @property
    def by(self) -> str:
        return f"torch {torch.__version__.partition('+')[0]}"

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """By output. Raises NotRun."""
        scope: dict[str, Any] = {name: tensor.clone() for name, tensor in self._constants.items()}
        scope |= {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in feeds.items()}
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for call in self._program.calls:
                    if not is_ignored(call):
                        scope.update(zip(call.made, evaluated(call, scope, self._allowed)))
                return {name: scope[name].to(torch.float32).numpy() for name in self._outputs}
        except MemoryError:
            raise
        except Exception as error:  # torch raises anything at all for arguments that do not fit
            raise NotRun(" ".join(str(error).split())[:300] or type(error).__name__) from error


def widened(tensor: torch.Tensor) -> torch.Tensor:
    """In float32 where it is of another float."""
    return tensor.to(torch.float32) if tensor.dtype in NARROW else tensor
