"""An LSTM whose forget gate is what its input gate leaves (input_forget), as one with two gates. Knows no nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cellserve.models.description.layers.activation import Activation
from cellserve.models.importers.onnx.values import NotTranslated

Array = npt.NDArray[Any]
COUPLED = "it couples its input and forget gates (input_forget)"


def couple(options: dict[str, Any], arrays: dict[str, Array], function: Activation) -> None:
    """f = 1 - i: of a function with 1 - s(x) = s(c - x), that is i's own numbers with the other sign, and c in the bias.

    Raises NotTranslated: a function that has no such c, or gates that are clipped before it and a c that is not 0.
    """
    shift = _shift(function)
    for name in arrays:
        if name == "peephole_f":
            arrays[name] = -arrays["peephole_i"]
        elif not name.startswith("peephole"):
            blocks = np.split(arrays[name], 4, axis=-1)
            arrays[name] = np.concatenate([blocks[0], -blocks[0], *blocks[2:]], axis=-1)
    if not shift:
        return
    if "gate_clip" in options:
        raise NotTranslated(f"{COUPLED} by a hard sigmoid off 0.5, and clips them")
    units = arrays["recurrent_kernel"].shape[0]
    bias = arrays["bias"] if "bias" in arrays else np.zeros(4 * units, np.float32)
    bias[units : 2 * units] += np.float32(shift)
    options["use_bias"], arrays["bias"] = True, bias


def _shift(function: Activation) -> float:
    if function.name in ("sigmoid", "hard_sigmoid", "hard_sigmoid_relu6"):
        return 0.0
    if function.name in ("clipped_affine", "affine") and function.alpha and function.beta is not None:
        return (1.0 - 2.0 * function.beta) / function.alpha
    raise NotTranslated(f"{COUPLED}, whose activation is {function.name}")
