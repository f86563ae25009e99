"""Programs of torch.export (.pt2) as canonical networks: translated, followed as a graph of ONNX is, and held against torch.

What torch answers is asked with its own operations, one call of the program after the other; nothing else of the file runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.description import Description
from cellserve.models.importers.imported import Imported, Source, file_digest
from cellserve.models.importers.pytorch.export.archive import read_archive
from cellserve.models.importers.pytorch.export.evaluation import TRAINING
from cellserve.models.importers.pytorch.export.network import OWN_FIELDS, network_of
from cellserve.models.importers.pytorch.export.program import Program, read_program
from cellserve.models.importers.pytorch.export.recurrent import CELLS, RECURRENT
from cellserve.models.importers.pytorch.export.regrouping import regrouped
from cellserve.models.importers.pytorch.export.rolling import rolled, written_out

MODULES: Final = ("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell")
PRODUCTS: Final = ("addmm", "mm", "linear", "matmul")


def load_export(path: Path, description: Description) -> Imported:
    """Raises ImportRefused: damaged, compiled code, taken apart into steps, or a program that is more than layers."""
    source = str(path)
    description.refuse_all_but(OWN_FIELDS, source, "a program of torch.export, which says the rest itself")
    archive = read_archive(path)
    try:
        program, steps = rolled(regrouped(read_program(archive)))
    except Exception as error:  # a document of another form makes anything at all of being read
        what = " ".join(str(error).split())[:200] or type(error).__name__
        raise ImportRefused(
            source, f"the graph of this program is damaged or of a form not known here ({what}); export the model again"
        ) from error
    _refuse_without_recurrence(program, path)
    if program.changed and any(not name.endswith("num_batches_tracked") for name in program.changed):
        raise ImportRefused(
            source,
            f"the program changes {', '.join(program.changed)}, which its module keeps between calls; export it with "
            "its state as an input and an output of forward",
        )
    origin = Source("torch", f"{program.version}, torch.export".removeprefix(", "), path.name, file_digest(path))
    return network_of(
        program, path, description, origin, way_out=_way_out(path), notes=(*_notes(program), *written_out(steps)), examples=True
    )


def _notes(program: Program) -> list[str]:
    notes = ["The program was read, not run; torch's own operations on its numbers were asked for answers."]
    if any(call.given.get(name) is True for call in program.calls for name in TRAINING):
        notes.append("It was exported in training; it is served as it answers at inference (model.eval()).")
    return notes


def _way_out(path: Path) -> str:
    return (
        "Where you trust the file, take its weights out, and import those with what they do not say in a --description: "
        f'torch.save(torch.export.load("{path.name}").state_dict, "{path.stem}.weights.pt")'
    )


def _refuse_without_recurrence(program: Program, path: Path) -> None:
    if any(call.operator in RECURRENT and call.operator not in CELLS for call in program.calls):
        return
    own = {call.place: call.kind.rpartition(".")[2] for call in program.calls if call.kind.rpartition(".")[2] in MODULES}
    if own and all(_runs_once(program, place, kind) for place, kind in own.items()):
        if any(call.operator in CELLS for call in program.calls):
            return
        place, kind = next(iter(own.items()))
        raise ImportRefused(
            str(path),
            f"this {kind} is run once, so that the program is one step of a recurrence, and those of cells are not translated. "
            "Imported from its weights the model takes rows of any number of steps, and single steps in live sequences. "
            f"{_way_out(path)}",
            layer=place,
        )
    if own:
        place, kind = next(iter(own.items()))
        raise ImportRefused(
            str(path),
            f"this {kind} has been taken apart into single operations, as run_decompositions() does and as cells in a loop are "
            "exported, so that the program is of one length alone. Import the program that torch.export.export(model.eval(), "
            f"inputs) makes of nn.LSTM, nn.GRU or nn.RNN, without run_decompositions(). {_way_out(path)}",
            layer=place,
        )
    raise ImportRefused(
        str(path),
        "it has no LSTM, GRU or RNN: it is not recurrent, or was taken apart into single operations by run_decompositions(). "
        f"Export it without that. {_way_out(path)}",
    )


def _runs_once(program: Program, place: str, kind: str) -> bool:
    """Of a cell: each of its steps is one operation, or two products and what follows them."""
    made = [call.operator for call in program.calls if call.place == place]
    steps = sum(name.endswith("_cell") for name in made) + sum(name in PRODUCTS for name in made) / 2
    return kind.endswith("Cell") and steps == 1
