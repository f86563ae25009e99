"""PyTorch state dicts: an Embedding perhaps, nn.LSTM, nn.GRU or nn.RNN stacks, and Linear layers after them, as a ModelSpec.

A state dict says neither how its modules are wired nor which functions stand between them. What is assumed is said in the
notes, one sentence each, and can be changed by a description. Source: torch.nn.modules.rnn 2.x.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt
from pydantic import ValidationError

from cellserve.models.errors import ImportRefused
from cellserve.models.importers import layout
from cellserve.models.importers.description import Description
from cellserve.models.importers.imported import ImportedModel, Source, file_digest
from cellserve.models.importers.keras_weights import finished
from cellserve.models.importers.torch_modules import Embedding, Linear, Module, RecurrentStack, modules
from cellserve.models.spec import (
    DenseLayer,
    EmbeddingLayer,
    GruLayer,
    InputSpec,
    LastStepLayer,
    LayerSpec,
    LstmLayer,
    MergeLayer,
    ModelSpec,
    RecurrentLayer,
    ReverseLayer,
    SimpleRnnLayer,
)

INPUT = "input"


@dataclass
class _Wiring:
    source: str
    description: Description
    current: str = INPUT
    layers: list[LayerSpec] = field(default_factory=list)
    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, layer: LayerSpec, arrays: dict[str, npt.NDArray[Any]] | None = None) -> None:
        self.layers.append(layer)
        self.current = layer.name
        self.arrays |= {f"{layer.name}.{name}": array for name, array in (arrays or {}).items()}


def from_state_dict(path: Path, arrays: dict[str, npt.NDArray[Any]], description: Description) -> ImportedModel:
    """Raises ImportRefused: modules not known, an order that cannot be, arrays that do not fit."""
    wiring = _Wiring(str(path), description)
    found = modules(arrays, description.order, str(path))
    embeddings, stacks, head = _sorted(found, wiring)
    try:
        first = _input(embeddings, stacks)
        for embedding in embeddings:
            vocabulary, units = embedding.arrays["weight"].shape
            layer = EmbeddingLayer(
                name=embedding.name or "embedding", inputs=(wiring.current,), vocabulary=vocabulary, units=units
            )
            wiring.add(layer, {"table": embedding.arrays["weight"]})
        for stack in stacks:
            _add_stack(wiring, stack)
        _add_head(wiring, head)
        spec = ModelSpec(inputs=(first,), layers=tuple(wiring.layers), outputs=(wiring.current,))
    except ValidationError as error:
        raise ImportRefused(str(path), f"the modules do not make a network: {error.errors()[0]['msg']}") from error
    return finished(spec, wiring.arrays, Source("torch", "", path.name, file_digest(path)), tuple(wiring.notes), path)


def _sorted(found: Sequence[Module], wiring: _Wiring) -> tuple[list[Embedding], list[RecurrentStack], list[Linear]]:
    """Into what stands before, in and after the recurrence. A matrix before it whose rows it reads is an Embedding's table."""
    places = [place for place, module in enumerate(found) if isinstance(module, RecurrentStack)]
    if not places:
        raise ImportRefused(
            wiring.source,
            "the state dict holds no nn.LSTM, nn.GRU or nn.RNN (no weight_ih_l0); there is nothing recurrent to serve",
        )
    stacks = [module for module in found if isinstance(module, RecurrentStack)]
    before, inside, after = found[: places[0]], found[places[0] : places[-1]], found[places[-1] + 1 :]
    for module in inside:
        if isinstance(module, Linear):
            raise ImportRefused(wiring.source, "a module between two recurrent ones is not supported yet", layer=module.name)
    tables = [module for module in before if isinstance(module, Linear)]
    width = stacks[0].directions[0][0]["weight_ih"].shape[1]
    if len(tables) > 1 or any("bias" in table.arrays or table.arrays["weight"].shape[1] != width for table in tables):
        names = ", ".join(table.name for table in tables)
        raise ImportRefused(
            wiring.source,
            f"before the recurrence only one nn.Embedding whose vectors are its input ({width} wide) is supported; give the order of the "
            "modules with `order` in a --description if the file's order is not that of the computation",
            layer=names,
        )
    if tables:
        wiring.notes.append(
            f"The module {tables[0].name} stands before the recurrence and is taken for an Embedding: the model reads ids."
        )
    for stack, following in zip(stacks, stacks[1:]):
        wiring.notes.append(
            f"The output sequence of {stack.name or 'the recurrence'} is taken to be the input of {following.name}."
        )
    heads = [module for module in after if isinstance(module, Linear)]
    return [Embedding(table.name, table.arrays) for table in tables], stacks, heads


def _input(embeddings: Sequence[Embedding], stacks: Sequence[RecurrentStack]) -> InputSpec:
    if embeddings:
        return InputSpec(name=INPUT, kind="ids")
    return InputSpec(name=INPUT, kind="features", width=stacks[0].directions[0][0]["weight_ih"].shape[1])


def _add_stack(wiring: _Wiring, stack: RecurrentStack) -> None:
    """Each layer is one pass, or two over the same input whose outputs are joined [forward, backward]."""
    if stack.kind == "simple_rnn" and wiring.description.nonlinearity is None:
        wiring.notes.append(
            f"A state dict does not record the nonlinearity of nn.RNN ({stack.name or 'top'}): tanh is assumed; `nonlinearity: relu` in a "
            "--description says otherwise."
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
    layer: RecurrentLayer
    if stack.kind == "lstm":
        layer = LstmLayer(**common, projection_units=stored["weight_hr"].shape[0] if "weight_hr" in stored else None)
    elif stack.kind == "gru":
        layer = GruLayer(**common, reset_after=True)
    else:
        layer = SimpleRnnLayer(**common, activation=wiring.description.nonlinearity or "tanh")
    try:
        wiring.add(layer, layout.torch_recurrent(layer, dict(stored)))
    except ValueError as error:
        raise ImportRefused(
            wiring.source, f"its arrays cannot be split into gates ({error}); the file is damaged", layer=name
        ) from error


def _add_head(wiring: _Wiring, head: Sequence[Linear]) -> None:
    if not head:
        wiring.notes.append("There is no head: the output is the last layer's whole sequence.")
        return
    names = ", ".join(linear.name or "(top)" for linear in head)
    where = wiring.description.head
    if where is None:
        wiring.notes.append(
            f"The head ({names}) is assumed to act on the last step of the recurrence; `head: sequence` in a --description applies it to "
            "every step."
        )
    if where != "sequence":
        wiring.add(LastStepLayer(name="last_step", inputs=(wiring.current,)))
    functions = wiring.description.head_activations
    if functions is None:
        functions = ("linear",) * len(head)
        wiring.notes.append(
            f"A state dict does not record functions: none is assumed after {names}; `head_activations` in a --description names them."
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
            activation=function,  # type: ignore[arg-type]
        )
        wiring.add(layer, arrays)
