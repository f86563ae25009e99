"""TensorFlow 1 checkpoints: perhaps an embedding, the cells of tf.nn.rnn_cell, the user's matrices after them, as a ModelSpec.

A checkpoint holds variables, not the graph: what the program added at run time (forget_bias, activations, clips, where the
logits act) is assumed to be TensorFlow's default, said in the notes, and changed by a description. Source: TensorFlow 1.15
python/ops/rnn_cell_impl.py, rnn.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt
from pydantic import ValidationError

from cellserve.models.description.layers.activation import Activation, ActivationName
from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.rows import LastStepLayer, ReverseLayer
from cellserve.models.description.layers.stepwise import DenseLayer, EmbeddingLayer
from cellserve.models.errors import ImportRefused
from cellserve.models.importers.arrays.described_layers import from_layers
from cellserve.models.importers.completeness import complete
from cellserve.models.importers.description import Description
from cellserve.models.importers.ignored import without_ignored
from cellserve.models.importers.imported import ImportedModel, Source, file_digest
from cellserve.models.importers.tensorflow1.checkpoint import DTYPES, Checkpoint, is_of_objects
from cellserve.models.importers.tensorflow1.notes import assumptions, ignored
from cellserve.models.importers.tensorflow1.order import (
    Arrangement,
    Matrix,
    Recurrence,
    arrange,
    matrices,
    recurrences,
    unexplained,
)
from cellserve.models.importers.tensorflow1.variables import Cell, is_slot, sort_variables
from cellserve.models.importers.unused import tell_unused
from cellserve.models.importers.wiring import INPUT, Wiring
from cellserve.models.spec import InputSpec, ModelSpec

FORGET_BIAS: Final = 1.0  # TensorFlow's default
FIELDS: Final = frozenset(
    {"activation", "cell_clip", "cells", "forget_bias", "head", "head_activations", "ignore", "merge", "order", "proj_clip"}
)


@dataclass
class _Wiring(Wiring):
    checkpoint: Checkpoint = field(kw_only=True)


def load_checkpoint(prefix: Path, description: Description) -> ImportedModel:
    """Raises ImportRefused: damaged files, cells that are not supported, variables that nothing explains."""
    checkpoint = Checkpoint.open(prefix)
    source, files = str(prefix), checkpoint.files()
    origin = Source("tensorflow", "1", files[0].name, file_digest(*files))
    if description.layers is not None:
        arrays, put_aside = without_ignored(_numbers(checkpoint), description.ignore or (), source)
        return from_layers(prefix, arrays, description, origin, put_aside)
    if is_of_objects(checkpoint):
        raise ImportRefused(
            source,
            "this is a checkpoint of TensorFlow 2, which names its variables after objects and does not say what these compute; "
            "give the Keras model's to_json() with --architecture, save the whole model with model.save('model.keras'), or "
            "describe its `layers` in a --description",
        )
    description.refuse_all_but(FIELDS, source, "a TensorFlow 1 checkpoint")
    every = {name: entry.shape for name, entry in checkpoint.entries.items()}
    shapes, put_aside = without_ignored(every, description.ignore or (), source)
    found = sort_variables(shapes, description.cells or {}, whole=description.order is None, source=source)
    if not found.cells:
        raise ImportRefused(
            source,
            "no scope of a recurrent cell is known by its name here; if the program named its cells itself, say what they are "
            f"with `cells: {{scope: lstm}}` in a --description. The variables are {', '.join(sorted(found.others)) or 'none'}",
        )
    others, left = matrices(found.others)
    if left and description.order is None:
        raise unexplained(left, source)
    joined = description.merge in (None, "concat", "none")
    stacks = recurrences(found.cells, joined=joined, source=source)
    arrangement = arrange([*stacks, *others], description.order, source)
    _refuse_what_fits_nothing(arrangement, description, source)
    wiring = _Wiring(str(checkpoint.prefix), description, checkpoint=checkpoint)
    try:
        spec = _wire(wiring, arrangement)
    except ValidationError as error:
        raise ImportRefused(source, f"the variables do not make a network: {error.errors()[0]['msg']}") from error
    cells = {name for cell in found.cells for name in cell.variables.values()}
    used = arrangement.variables()
    unused = {name: shape for name, shape in shapes.items() if name in {*cells, *found.others} - used}
    told = tell_unused(unused, source, "as `order` does not name them", cells=cells)
    notes = (*put_aside, *told, *assumptions(arrangement, description), *ignored(found))
    return complete(spec, wiring.arrays, origin, notes, prefix)


def _numbers(checkpoint: Checkpoint) -> dict[str, npt.NDArray[Any]]:
    """Every variable that a described layer could take: not what an optimizer keeps."""
    shapes = {name: entry.shape for name, entry in checkpoint.entries.items()}
    return {
        name: checkpoint.read(name)
        for name, entry in checkpoint.entries.items()
        if entry.kind in DTYPES and not entry.partitioned and not is_slot(name, shapes)
    }


def _wire(wiring: _Wiring, arrangement: Arrangement) -> ModelSpec:
    first = InputSpec(name=INPUT, width=arrangement.recurrences[0].input_width)
    if (embedding := arrangement.embedding) is not None:
        first = InputSpec(name=INPUT, kind="ids")
        vocabulary, units = embedding.shape
        table = EmbeddingLayer(name=embedding.name, inputs=(INPUT,), vocabulary=vocabulary, units=units)
        wiring.add(table, {"table": wiring.checkpoint.read(embedding.kernel)})
    outputs: tuple[str, ...] = ()
    for recurrence in arrangement.recurrences:
        outputs = _add_recurrence(wiring, recurrence)
    if len(outputs) > 1 and (arrangement.head or len(arrangement.recurrences) > 1):
        raise ImportRefused(wiring.source, "two separate outputs cannot feed what follows them", option="merge")
    if arrangement.head:
        _add_head(wiring, arrangement.head)
        outputs = (wiring.current,)
    return ModelSpec(inputs=(first,), layers=tuple(wiring.layers), outputs=outputs)


def _add_recurrence(wiring: _Wiring, recurrence: Recurrence) -> tuple[str, ...]:
    """The names of its outputs, each a sequence in the order of time."""
    source = wiring.current
    for cell in recurrence.passes[0]:
        _add_cell(wiring, cell, go_backwards=False)
    forward = wiring.current
    if len(recurrence.passes) == 1:
        return (forward,)
    wiring.current = source
    for depth, cell in enumerate(recurrence.passes[1]):  # those above the lowest read what it wrote, already turned round
        _add_cell(wiring, cell, go_backwards=depth == 0)
    wiring.add(ReverseLayer(name=f"{recurrence.name}/bw_in_time", inputs=(wiring.current,)))
    merge = wiring.description.merge or "concat"
    if merge == "none":
        return forward, wiring.current
    wiring.add(MergeLayer(name=f"{recurrence.name}/merged", inputs=(forward, wiring.current), mode=merge))
    return (wiring.current,)


def _add_cell(wiring: _Wiring, cell: Cell, *, go_backwards: bool) -> None:
    described = wiring.description
    common: dict[str, Any] = {
        "name": cell.scope,
        "inputs": (wiring.current,),
        "units": cell.units,
        "activation": Activation(name=described.activation or "tanh"),
        "return_sequences": True,
        "go_backwards": go_backwards,
        "mask_rule": "zero",
    }
    layer = cell.record.make(common, cell.shapes, described)
    stored = {role: wiring.checkpoint.read(variable) for role, variable in cell.variables.items()}
    default = FORGET_BIAS if cell.has_forget_bias else 0.0
    forget_bias = default if described.forget_bias is None else described.forget_bias
    try:
        wiring.add(layer, cell.record.canonical(layer, stored, forget_bias))
    except ValueError as error:
        raise ImportRefused(wiring.source, f"its arrays are not those of its cell: {error}", layer=cell.scope) from error


def _add_head(wiring: _Wiring, head: tuple[Matrix, ...]) -> None:
    none: list[ActivationName] = ["linear" for _ in head]
    given = wiring.description.head_activations
    functions: Sequence[ActivationName] = none if given is None else given
    if len(functions) != len(head):
        names = ", ".join(matrix.name for matrix in head)
        raise ImportRefused(
            wiring.source, f"{len(functions)} activations are given for {len(head)} matrices ({names})", option="head_activations"
        )
    if wiring.description.head != "sequence":
        wiring.add(LastStepLayer(name="last_step", inputs=(wiring.current,)))
    for matrix, function in zip(head, functions):
        arrays = {"kernel": wiring.checkpoint.read(matrix.kernel)}
        if matrix.bias is not None:
            arrays["bias"] = wiring.checkpoint.read(matrix.bias)
        layer = DenseLayer(
            name=matrix.name,
            inputs=(wiring.current,),
            units=matrix.output_width,
            use_bias=matrix.bias is not None,
            activation=Activation(name=function),
        )
        wiring.add(layer, arrays)


def _refuse_what_fits_nothing(arrangement: Arrangement, description: Description, source: str) -> None:
    cells = [cell for recurrence in arrangement.recurrences for cells in recurrence.passes for cell in cells]
    for option, given, fits, what in (
        ("forget_bias", description.forget_bias, any(cell.record.forgets for cell in cells), "LSTM cell"),
        ("cell_clip", description.cell_clip, any(cell.record.forgets for cell in cells), "LSTM cell"),
        ("proj_clip", description.proj_clip, any("projection" in cell.shapes for cell in cells), "projection"),
        ("merge", description.merge, any(len(one.passes) == 2 for one in arrangement.recurrences), "bidirectional_rnn"),
        ("head", description.head, arrangement.head, "matrix after the cells"),
        ("head_activations", description.head_activations, arrangement.head, "matrix after the cells"),
    ):
        if given is not None and not fits:
            raise ImportRefused(source, f"the checkpoint holds no {what} to which this could apply", option=option)
