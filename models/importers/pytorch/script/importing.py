"""TorchScript programs (torch.jit.save): followed by their code, which is never run, into what they do with tensors.

What they are given, the files do not say; it is found by trying. What is no layer is refused by its line.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.description import Description
from cellserve.models.importers.imported import Imported, Source, file_digest
from cellserve.models.importers.onnx.runtime import NotRun
from cellserve.models.importers.pytorch.export.evaluation import TorchRuntime
from cellserve.models.importers.pytorch.export.network import OWN_FIELDS, network_of
from cellserve.models.importers.pytorch.export.program import Program
from cellserve.models.importers.pytorch.export.regrouping import regrouped
from cellserve.models.importers.pytorch.export.rolling import rolled, written_out
from cellserve.models.importers.pytorch.export.translation import ALLOWED
from cellserve.models.importers.pytorch.file import require_believable
from cellserve.models.importers.pytorch.script.examples import Run, Trials, program_of, signature
from cellserve.models.importers.pytorch.script.file import read_script
from cellserve.models.importers.pytorch.script.values import Count, NotFollowed, Traced

LARGEST_DIFFERENCE: Final = 1e-5  # of what is the same numbers
NOTE: Final = "The program was read, not run; torch's own operations on its numbers were asked for answers."


def load_script(path: Path, description: Description) -> Imported:
    """Raises ImportRefused: damaged, or a program that is more than layers."""
    source = str(path)
    description.refuse_all_but(OWN_FIELDS, source, "a TorchScript program, which says the rest itself")
    require_believable(path)
    script = read_script(path)
    try:
        own = signature(script)
        said = _numbers(own.numbers, description, source)
        trials = Trials(script, own, said)
        run, rows, steps = trials.first()
        kept = _kept(run)
        if kept:
            program, states, notes = _keeping(trials, run, rows, steps)
        else:
            program, written = regrouped(program_of(trials, run, rows, steps, {})), 0
            if not run.loops:
                program, written = rolled(program, traced=True)
            states, notes = None, written_out(written)
    except NotFollowed as stopped:
        raise ImportRefused(
            source, f"this is a TorchScript program, which is read and never run, and {stopped}. {_way_out(path)}"
        ) from stopped
    unused = description.model_copy(update={"constants": None}) if said else description
    origin = Source("torch", "TorchScript", path.name, file_digest(path))
    return network_of(program, path, unused, origin, way_out=_way_out(path), notes=(NOTE, *notes), examples=False, states=states)


def _numbers(names: tuple[str, ...], description: Description, source: str) -> dict[str, float]:
    said = description.constants or {}
    for name in said:
        if name not in names:
            raise ImportRefused(source, f"forward has no input {name!r} that is a number", option="constants")
    for name in names:
        if name not in said:
            raise ImportRefused(
                source,
                f"its input {name!r} is one number, on which the program may depend as a whole; say it in a --description: "
                f"`constants: {{{name}: 16000}}`",
            )
    return {name: float(value) for name, value in said.items()}


def _way_out(path: Path) -> str:
    return (
        "Where you trust it, take its weights out, and import those with what they do not say in a --description: "
        f'torch.save(torch.jit.load("{path.name}", map_location="cpu").state_dict(), "{path.stem}.weights.pt")'
    )


def _kept(run: Run) -> dict[tuple[int, str], tuple[str, Any]]:
    """What modules keep of a call for the next one, as it is to begin with."""
    sizes = {
        call.made[0]: (call.given["self"].name, int(call.given["dim"]))
        for call in run.recorder.calls
        if call.operator == "sym_size" and call.given["self"].name in run.inputs
    }
    found: dict[tuple[int, str], tuple[str, Any]] = {}
    for key, (place, value) in run.changed.items():
        if isinstance(value, Count):
            found[key] = place, sizes.get(value.name, value.value)
        else:
            found[key] = place, value.value.detach().clone() if isinstance(value, Traced) else value
    return found


def _keeping(trials: Trials, run: Run, rows: int, steps: int) -> tuple[Program, dict[str, str] | None, tuple[str, ...]]:
    """With what it keeps as inputs and outputs; None: it keeps no tensors.

    Raises NotFollowed: it begins otherwise than with zeros.
    """
    kept = _kept(run)
    again = trials.run(run.inputs, rows, steps, kept=kept)
    program = program_of(trials, again, rows, steps, kept)
    outputs: dict[str, str] = {}
    for key, (place, value) in kept.items():
        if not isinstance(value, torch.Tensor):
            continue
        _, after = again.changed.get(key, (place, None))
        if not isinstance(after, Traced) or after.value.shape != value.shape:
            raise NotFollowed(f"{place}, which it keeps between calls, grows from call to call")
        outputs[place] = after.name
    if not outputs:
        return program, None, ()
    feeds = {name: run.recorder.scope[name].numpy() for name in run.inputs}
    zeros = {place: torch.zeros_like(value).numpy() for place, value in kept.values() if isinstance(value, torch.Tensor)}
    try:
        begun = TorchRuntime(program, again.outputs, ALLOWED)({**feeds, **zeros})
    except NotRun as error:
        raise NotFollowed(f"it does not run with what it keeps between calls at zero: {error}") from error
    apart = max(float((torch.from_numpy(begun[name]) - answer).abs().max()) for name, answer in zip(again.outputs, run.answers))
    if apart > LARGEST_DIFFERENCE:
        raise NotFollowed(f"what it keeps between calls ({', '.join(outputs)}) begins with something else than zeros")
    note = f"What the module keeps between calls ({', '.join(outputs)}) are the states of live sequences here."
    return replace(program, outputs=(*program.outputs, *outputs.values())), outputs, (note,)
