"""Which loops that were written out are one recurrence: those over all steps of what they read."""

from __future__ import annotations

import pytest
import torch

from cellserve.models.importers.pytorch.export.program import Call, Named, Program, ProgramInput
from cellserve.models.importers.pytorch.export.rolling import rolled

ARRAYS = ("w_ih", "w_hh", "b_ih", "b_hh")


def program(steps: int | None, looped: int, joined: int, *, sliced: bool = False) -> Program:
    """A GRU cell over the first `looped` of so many steps, of which the first `joined` are put together."""
    calls, sizes = list[Call](), {"x": (None, steps, 2), "h": (None, 3)}

    def call(name: str, operation: str, size: tuple[int | None, ...], **given: object) -> None:
        calls.append(Call(name, operation, given, (name,), "", ""))
        sizes[name] = size

    state = "h"
    for step in range(looped):
        source = "x"
        if sliced:
            source = f"rows_{step}"
            call(source, "aten.slice.Tensor", sizes["x"], self=Named("x"), dim=0, start=0, end=2**63 - 1, step=1)
        call(f"x_{step}", "aten.select.int", (None, 2), self=Named(source), dim=1, index=step)
        arrays = {name: Named(name) for name in ARRAYS}
        call(f"h_{step}", "aten.gru_cell.default", (None, 3), input=Named(f"x_{step}"), hx=Named(state), **arrays)
        state = f"h_{step}"
    call("all", "aten.stack.default", (None, joined, 3), tensors=[Named(f"h_{step}") for step in range(joined)], dim=1)
    inputs = tuple(ProgramInput(name, torch.float32, sizes[name]) for name in ("x", "h"))
    shapes = {"w_ih": (9, 2), "w_hh": (9, 3), "b_ih": (9,), "b_hh": (9,)}
    arrays = {name: torch.zeros(shape) for name, shape in shapes.items()}
    return Program(tuple(calls), inputs, ("all",), arrays, {name: f"cell.{name}" for name in ARRAYS}, sizes, (), "")


def operators(made: Program) -> list[str]:
    return [call.operator for call in made.calls]


@pytest.mark.parametrize("sliced", [False, True])
def test_a_loop_over_all_steps_is_one_recurrence(sliced: bool) -> None:
    made, steps = rolled(program(5, 5, 5, sliced=sliced))
    assert (steps, operators(made)) == (5, ["unsqueeze", "gru", "alias"])
    assert made.calls[1].given["input"] == Named("x")


def test_a_trace_does_not_say_how_many_steps_there_were() -> None:
    given = program(None, 5, 5)
    assert rolled(given) == (given, 0)
    made, steps = rolled(given, traced=True)
    assert (steps, operators(made)) == (5, ["unsqueeze", "gru", "alias"])


@pytest.mark.parametrize("traced", [False, True])
def test_a_loop_over_some_steps_stays_as_it_is(traced: bool) -> None:
    given = program(5, 4, 4)
    assert rolled(given, traced=traced) == (given, 0)


@pytest.mark.parametrize("steps", [5, None])
def test_some_of_the_steps_that_a_loop_made_are_not_taken_for_all(steps: int | None) -> None:
    made, _ = rolled(program(steps, 5, 3), traced=True)
    assert "alias" not in operators(made)
    assert made.calls[-1].given["tensors"] == [Named(f"h_{step}") for step in range(3)]
