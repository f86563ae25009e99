"""How to let a framework answer for itself: two lines for the program that made a model, whose file `import --expect` takes.

Knows how each framework is asked, not how it is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from cellserve.models.description.layers.stepwise import DenseLayer
from cellserve.models.description.shapes import minimum_time_steps, required_time_steps
from cellserve.models.measuring.golden_pair import vocabulary
from cellserve.models.spec import InputSpec, ModelSpec

FILE: Final = "expect.npz"
ROWS: Final = 3
STEPS: Final = 7


def recipe(spec: ModelSpec, framework: str) -> tuple[str, str]:
    """Two lines of Python: inputs of the model's own shapes, and a file of them with what the model answers.

    `framework`: as `Source` says it; of others, and of arrays, the second line names the program's own function.
    """
    inputs, outputs = _named("x", len(spec.inputs)), _named("y", len(spec.outputs))
    drawn = ", ".join(_drawn(spec, entry) for entry in spec.inputs)
    asked = ASKED.get(framework, _program)(spec, inputs)
    saved = ", ".join(f"{name}={name}" for name in (*inputs, *outputs))
    return (
        f"import numpy; {', '.join(inputs)} = {drawn}",
        f'{", ".join(outputs)} = {asked}; numpy.savez("{FILE}", {saved})',
    )


def _named(letter: str, count: int) -> list[str]:
    return [f"{letter}{index}" for index in range(count)]


def _drawn(spec: ModelSpec, entry: InputSpec) -> str:
    steps = required_time_steps(spec) or max(STEPS, minimum_time_steps(spec))
    if entry.kind == "ids":
        return f"numpy.random.randint(0, {vocabulary(spec, entry.name)}, ({ROWS}, {steps}))"
    shape = (ROWS, entry.width) if entry.kind == "vector" else (ROWS, steps, entry.width)
    return f'numpy.random.randn({", ".join(map(str, shape))}).astype("float32")'


def _keras(spec: ModelSpec, inputs: list[str]) -> str:
    every = ", ".join(inputs)
    return f"model.predict({every})" if len(inputs) == 1 else f"model.predict([{every}])"


def _torch(spec: ModelSpec, inputs: list[str]) -> str:
    """A recurrent module alone answers with its states beside its output."""
    first = "" if any(isinstance(layer, DenseLayer) for layer in spec.layers) else "[0]"
    tensors = ", ".join(f"torch.from_numpy({name})" for name in inputs)
    return f"model.cpu().eval()({tensors}){first}.detach().numpy()"


def _session(spec: ModelSpec, inputs: list[str]) -> str:
    return f"session.run(outputs, {{{', '.join(f'placeholder_{name}: {name}' for name in inputs)}}})"


def _program(spec: ModelSpec, inputs: list[str]) -> str:
    return f"answer({', '.join(inputs)})"


ASKED: Final[Mapping[str, Callable[[ModelSpec, list[str]], str]]] = {
    "keras": _keras,
    "tf.keras": _keras,
    "torch": _torch,
    "tensorflow": _session,
}
