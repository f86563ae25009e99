"""What torch itself answers with the modules of a state dict, wired as the import took them to be.

It checks what was done to the arrays (gates, biases, directions, projections); that the program wires its modules so, a state
dict cannot show. Source: torch.nn. Knows no ModelSpec but its inputs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cellserve.models.description.step_counts import steps_of
from cellserve.models.errors import ImportRefused
from cellserve.models.importers.description import Description
from cellserve.models.importers.pytorch.modules import RecurrentStack
from cellserve.models.importers.pytorch.order import Arrangement
from cellserve.models.importers.pytorch.records import BY_KIND
from cellserve.models.measuring.framework_answers import FrameworkAnswers
from cellserve.models.measuring.golden_pair import golden_inputs
from cellserve.models.spec import ModelSpec

Array = npt.NDArray[Any]
FUNCTIONS: Final[Mapping[str, Callable[[Tensor], Tensor]]] = {
    "linear": nn.Identity(),
    "tanh": nn.Tanh(),
    "sigmoid": nn.Sigmoid(),
    "hard_sigmoid_relu6": nn.Hardsigmoid(),
    "relu": nn.ReLU(),
    "relu6": nn.ReLU6(),
    "leaky_relu": nn.LeakyReLU(),
    "elu": nn.ELU(),
    "selu": nn.SELU(),
    "celu": nn.CELU(),
    "softmax": nn.Softmax(-1),
    "log_softmax": nn.LogSoftmax(-1),
    "softplus": nn.Softplus(),
    "softsign": nn.Softsign(),
    "exponential": torch.exp,
    "gelu": nn.GELU(),
    "gelu_tanh": nn.GELU("tanh"),
    "silu": nn.SiLU(),
    "mish": nn.Mish(),
    "log_sigmoid": nn.LogSigmoid(),
    "hard_tanh": nn.Hardtanh(),
    "hard_silu": nn.Hardswish(),
    "tanh_shrink": nn.Tanhshrink(),
    "soft_shrink": nn.Softshrink(),
    "hard_shrink": nn.Hardshrink(),
}  # of a head; those that torch does not have are not torch's to answer


@dataclass(frozen=True, slots=True)
class TorchModel:
    """The modules of an arrangement as torch has them, with the functions of a description between them."""

    found: Arrangement
    description: Description
    source: str

    def answers(self, spec: ModelSpec, precision: torch.dtype = torch.float32) -> FrameworkAnswers:
        """On the network's golden input, each row alone at its own length.

        Raises ImportRefused: arrays that torch does not take for such a module.
        """
        (inputs,), fed = golden_inputs(spec)
        lengths = tuple(steps_of(row, 0) for row in fed)
        stacks = [_module(stack, self.description, self.source).to(precision).eval() for stack in self.found.stacks]
        with torch.no_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "LSTM with projections is not supported with oneDNN")  # nor need it be
            rows = [self._row(torch.from_numpy(inputs[[i], :n]), stacks, precision) for i, n in enumerate(lengths)]
        outputs = np.zeros((len(rows), *max(row.shape for row in rows)), dtype=np.float32)
        for whole, row in zip(outputs, rows):
            whole[: len(row)] = row
        by = f"torch {torch.__version__.partition('+')[0]}, module by module"
        return FrameworkAnswers(by, (inputs,), (outputs,), lengths, time_major=False)

    def _row(self, x: Tensor, stacks: list[nn.RNNBase], precision: torch.dtype) -> Array:  # [1, T, F], or ids [1, T]
        if self.found.embedding is not None:
            x = nn.functional.embedding(x, _tensor(self.found.embedding.arrays["weight"]))
        x = x.to(precision)
        for stack in stacks:
            x, _ = stack(x)
        if self.description.head == "last_step" or (self.found.head and self.description.head is None):
            x = x[:, -1]
        functions = self.description.head_activations or ("linear",) * len(self.found.head)
        for linear, function in zip(self.found.head, functions, strict=True):
            bias = _tensor(linear.arrays["bias"]).to(precision) if "bias" in linear.arrays else None
            x = FUNCTIONS[function](nn.functional.linear(x, _tensor(linear.arrays["weight"]).to(precision), bias))
        if self.description.unit_length:
            x = nn.functional.normalize(x, dim=-1)
        return x[0].to(torch.float32).numpy()


def _module(stack: RecurrentStack, description: Description, source: str) -> nn.RNNBase:
    first = stack.directions[0][0]
    options: dict[str, Any] = {
        "input_size": stack.input_width,
        "hidden_size": stack.units,
        "num_layers": len(stack.directions),
        "bias": "bias_ih" in first,
        "batch_first": True,
        "bidirectional": len(stack.directions[0]) == 2,
    }
    options |= BY_KIND[stack.kind].options(first, description)
    with torch.device("meta"):  # no numbers of its own are drawn
        module = BY_KIND[stack.kind].module(**options)
    stored = {
        f"{name}_l{depth}{'_reverse' * side}": _tensor(array)
        for depth, directions in enumerate(stack.directions)
        for side, direction in enumerate(directions)
        for name, array in direction.items()
    }
    try:
        module.load_state_dict(stored, assign=True)
    except RuntimeError as error:
        what = " ".join(str(error).split())
        raise ImportRefused(
            source, f"these are not the arrays of one {type(module).__name__}: {what}", layer=stack.name
        ) from error
    return module


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))
