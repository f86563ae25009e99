"""PyTorch state dicts: an Embedding perhaps, nn.LSTM, nn.GRU or nn.RNN stacks, and Linear layers after them, as a ModelSpec.

A state dict says neither how its modules are wired nor which functions stand between them. What is assumed is said in the
notes, one sentence each, and can be changed by a description. Source: torch.nn.modules.rnn 2.x.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import ValidationError

from cellserve.models.description.layers.activation import Activation, ActivationName
from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.rows import LastStepLayer, ReverseLayer
from cellserve.models.description.layers.stepwise import DenseLayer, EmbeddingLayer, UnitNormalizationLayer
from cellserve.models.errors import ImportRefused
from cellserve.models.importers import layout
from cellserve.models.importers.arrays.described_layers import from_layers
from cellserve.models.importers.arrays.torch_defaults import unsaid
from cellserve.models.importers.completeness import complete
from cellserve.models.importers.description import Description
from cellserve.models.importers.imported import ImportedModel, Source, file_digest
from cellserve.models.importers.precision import deviation_note, foreign, largest_difference, sentence
from cellserve.models.importers.pytorch.answers import FUNCTIONS, TorchModel
from cellserve.models.importers.pytorch.modules import Linear, RecurrentStack, UnknownModule, modules
from cellserve.models.importers.pytorch.order import Arrangement, arrange
from cellserve.models.importers.pytorch.parametrizations import plain
from cellserve.models.importers.pytorch.proposal import proposal
from cellserve.models.importers.pytorch.records import BY_KIND
from cellserve.models.importers.pytorch.sharing import refuse_twins, tied
from cellserve.models.importers.stored_arrays import StoredArrays
from cellserve.models.importers.unused import tell_unused
from cellserve.models.importers.wiring import INPUT, Wiring
from cellserve.models.spec import InputSpec, ModelSpec

COUNTER: Final = "num_batches_tracked"  # of a batch normalization in training
FIELDS: Final = frozenset({"head", "head_activations", "ignore", "nonlinearity", "order", "unit_length"})


@dataclass
class _Wiring(Wiring):
    notes: list[str] = field(default_factory=list)


def from_state_dict(path: Path, stored: StoredArrays, description: Description, framework: str = "torch") -> ImportedModel:
    """`framework`: whose file it is; its arrays are as torch has them.

    Raises ImportRefused: modules not known, an order that cannot be, arrays that do not fit, or that the import cannot use.
    """
    source, origin = str(path), Source(framework, "", path.name, file_digest(path))
    arrays, computed = plain(stored.arrays, source)
    beside = tell_unused(stored.beside, source, "as the file keeps them apart from the state dict that is imported")
    notes = [*stored.notes, *beside, *computed]
    if description.layers is not None:
        counted = {name: array for name, array in arrays.items() if name.rpartition(".")[2] != COUNTER}
        return from_layers(path, counted, description, origin, notes, stored.precisions)
    description.refuse_all_but(FIELDS, source, "a PyTorch state dict")
    wiring = _Wiring(source, description, notes=notes)
    try:
        found, left = modules(arrays, description.order, source)
    except UnknownModule as refused:
        refused.proposal = proposal(arrays)
        raise
    given = description.order is not None
    if not given:
        refuse_twins(stored.arrays, stored.same, source)
    tables = tied(stored.arrays, stored.same)
    arrangement = arrange(found, given=given, by_name=stored.by_name, tied=tables, source=source)
    widths = {arrangement.stacks[0].input_width}
    wiring.notes += tell_unused(left, source, "as `order` does not name them", read_widths=widths)
    wiring.notes += arrangement.notes()
    try:
        spec = _wire(wiring, arrangement)
    except ValidationError as error:
        raise ImportRefused(source, f"the modules do not make a network: {error.errors()[0]['msg']}") from error
    imported = complete(spec, wiring.arrays, origin, tuple(wiring.notes), path)
    model = TorchModel(arrangement, description, source)
    answers, precision = model.answers(spec), foreign(stored.precisions)
    told = () if precision is None else (f"The file holds weights in {precision}. {_deviation(imported, model, precision)}",)
    return replace(imported, notes=(*imported.notes, *told), answers=(answers,))


def _deviation(imported: ImportedModel, model: TorchModel, precision: str) -> str:
    """As torch computes, or, of what it cannot compute in this precision here, about."""
    try:
        other = model.answers(imported.spec, getattr(torch, precision)).outputs[0]
    except RuntimeError:
        return deviation_note(imported.spec, imported.weights, precision)
    return sentence(precision, "up to", largest_difference(other, model.answers(imported.spec).outputs[0]))


def _wire(wiring: _Wiring, found: Arrangement) -> ModelSpec:
    if found.embedding is not None:
        _add_embedding(wiring, found.embedding)
    for stack in found.stacks:
        _add_stack(wiring, stack)
    _add_head(wiring, found.head)
    if wiring.description.unit_length:
        wiring.add(UnitNormalizationLayer(name="unit_length", inputs=(wiring.current,)))
    first = InputSpec(name=INPUT, kind="ids") if found.embedding else InputSpec(name=INPUT, width=found.stacks[0].input_width)
    return ModelSpec(inputs=(first,), layers=tuple(wiring.layers), outputs=(wiring.current,))


def _add_embedding(wiring: _Wiring, embedding: Linear) -> None:
    vocabulary, units = embedding.arrays["weight"].shape
    layer = EmbeddingLayer(name=embedding.name or "embedding", inputs=(wiring.current,), vocabulary=vocabulary, units=units)
    wiring.add(layer, {"table": embedding.arrays["weight"]})


def _add_stack(wiring: _Wiring, stack: RecurrentStack) -> None:
    """Each layer is one pass, or two over the same input whose outputs are joined [forward, backward]."""
    if stack.kind == "simple_rnn" and wiring.description.nonlinearity is None:
        wiring.notes.append(
            f"A state dict does not record the nonlinearity of nn.RNN ({stack.name or 'top'}): tanh is assumed; `nonlinearity: "
            "relu` in a --description says otherwise."
        )
    base = stack.name or stack.kind
    for depth, directions in enumerate(stack.directions):
        name, source = f"{base}_l{depth}", wiring.current
        if len(directions) == 1:
            _add_pass(wiring, stack, name, source, directions[0], backwards=False)
            continue
        _add_pass(wiring, stack, f"{name}_forward", source, directions[0], backwards=False)
        _add_pass(wiring, stack, f"{name}_backward", source, directions[1], backwards=True)
        wiring.add(ReverseLayer(name=f"{name}_backward_in_time", inputs=(wiring.current,)))
        wiring.add(MergeLayer(name=name, inputs=(f"{name}_forward", wiring.current), mode="concat"))


def _add_pass(wiring: _Wiring, stack: RecurrentStack, name: str, source: str, stored: Any, *, backwards: bool) -> None:
    common: dict[str, Any] = {
        "name": name,
        "inputs": (source,),
        "units": stack.units,
        "use_bias": "bias_ih" in stored,
        "return_sequences": True,
        "go_backwards": backwards,
        "mask_rule": "zero",
    }
    record = BY_KIND[stack.kind]
    layer = record.make(common, stored, wiring.description)
    try:
        wiring.add(layer, record.canonical(layer, dict(stored)))
    except ValueError as error:
        raise ImportRefused(
            wiring.source, f"its arrays cannot be split into gates ({error}); the file is damaged", layer=name
        ) from error


def _add_head(wiring: _Wiring, head: Sequence[Linear]) -> None:
    if not head and wiring.description.head == "last_step":
        wiring.add(LastStepLayer(name="last_step", inputs=(wiring.current,)))
        return
    if not head:
        wiring.notes.append("There is no head: the output is the last layer's whole sequence.")
        return
    names = ", ".join(linear.name or "(top)" for linear in head)
    where = wiring.description.head
    if where is None:
        wiring.notes.append(
            f"The head ({names}) is assumed to act on the last step of the recurrence; `head: sequence` in a --description "
            "applies it to every step."
        )
    if where != "sequence":
        wiring.add(LastStepLayer(name="last_step", inputs=(wiring.current,)))
    none: list[ActivationName] = ["linear" for _ in head]
    functions: Sequence[ActivationName] = (
        none if wiring.description.head_activations is None else wiring.description.head_activations
    )
    if wiring.description.head_activations is None:
        wiring.notes.append(
            f"A state dict does not record functions: none is assumed after {names}; `head_activations` in a --description names "
            "them."
        )
    if len(functions) != len(head):
        raise ImportRefused(
            wiring.source,
            f"{len(functions)} activations are given for {len(head)} Linear layers ({names})",
            option="head_activations",
        )
    for linear, function in zip(head, functions):
        arrays = layout.torch_linear(dict(linear.arrays))
        layer = DenseLayer(
            name=linear.name or "head",
            inputs=(wiring.current,),
            units=arrays["kernel"].shape[1],
            use_bias="bias" in arrays,
            activation=_function(function, wiring.source),
        )
        wiring.add(layer, arrays)


def _function(name: ActivationName, source: str) -> Activation:
    """As torch means it."""
    if name not in FUNCTIONS:
        raise ImportRefused(source, f"torch has no {name}; it has {', '.join(FUNCTIONS)}", option="head_activations")
    return Activation.model_validate({"name": name, **(unsaid("dense", {"activation": name}, source, "").get("activation", {}))})
