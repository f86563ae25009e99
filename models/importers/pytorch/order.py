"""In which order the data flow through the modules of a state dict, which does not say it.

The order of the file is taken where the widths agree with it (.pt files keep that of the program; .safetensors files are
sorted by name), else the only order in which each module's input is as wide as the output before it. Knows no ModelSpec.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NoReturn

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.pytorch.modules import Linear, Module, RecurrentStack


@dataclass(frozen=True, slots=True)
class Arrangement:
    """`embedding`: its arrays look like a Linear's without bias: weight [vocabulary, units]."""

    embedding: Linear | None
    stacks: tuple[RecurrentStack, ...]
    head: tuple[Linear, ...]

    def notes(self) -> list[str]:
        said = []
        if self.embedding is not None:
            name = self.embedding.name or "(top)"
            said.append(f"The module {name} is taken for an Embedding before the recurrence: the model reads ids.")
        for stack, following in pairwise(self.stacks):
            said.append(f"The output sequence of {stack.name} is taken to be the input of {following.name}.")
        return said


def arrange(found: Sequence[Module], *, given: bool, by_name: bool, tied: Collection[str], source: str) -> Arrangement:
    """`given`: a person has said that this is the order. `by_name`: the file sorts its arrays, so their order says little.

    `tied`: modules whose matrix another one uses too, as an embedding and a head may.

    Raises ImportRefused: nothing recurrent, or no order to be told.
    """
    if not any(isinstance(module, RecurrentStack) for module in found):
        raise ImportRefused(
            source, "the state dict holds no nn.LSTM, nn.GRU or nn.RNN (no weight_ih_l0): nothing recurrent to serve"
        )
    straight = _straight(found)
    if straight is not None and (given or not by_name or _alone(straight, tied, source)):
        return straight
    if given:
        raise ImportRefused(
            source,
            "in this order the modules do not fit: an Embedding may come first, then recurrent modules, then Linear ones, each "
            f"as wide as the output before it ({_widths(found)})",
            option="order",
        )
    return _by_widths(found, tied, source)


def _straight(found: Sequence[Module]) -> Arrangement | None:
    """The modules as they stand, if that is an embedding or none, recurrent stacks, and a head, all of fitting widths."""
    first = found[0]
    embedding = first if isinstance(first, Linear) and _may_embed(first) else None
    rest = found[1:] if embedding is not None else found
    stacks = [module for module in rest if isinstance(module, RecurrentStack)]
    head = [module for module in rest if isinstance(module, Linear)]
    if list(rest) != [*stacks, *head]:
        return None
    if embedding is not None and embedding.output_width_as_table != stacks[0].input_width:
        return None
    if any(before.output_width != after.input_width for before, after in pairwise(rest)):
        return None
    return Arrangement(embedding, tuple(stacks), tuple(head))


def _alone(arrangement: Arrangement, tied: Collection[str], source: str) -> bool:
    """Whether a matrix that comes first by its name alone must be an embedding. Raises ImportRefused where it may be the head."""
    first = arrangement.embedding
    if first is None or "emb" in first.name.lower() or first.name in tied:
        return True
    rest: list[Module] = [*arrangement.stacks, *arrangement.head]
    follows = [*(after.input_width for after in arrangement.head), None]  # what comes after it, if it stands in the head
    for before, after in zip(rest[len(arrangement.stacks) - 1 :], follows, strict=True):
        if before.output_width == first.input_width and after in (None, first.output_width):
            _refuse([first, *rest], source)
    return True


def _by_widths(found: Sequence[Module], tied: Collection[str], source: str) -> Arrangement:
    remaining = list(found)
    embedding = _embedding(remaining, tied, source)
    if embedding is not None:
        remaining.remove(embedding)
    stacks = [module for module in remaining if isinstance(module, RecurrentStack)]
    if embedding is None and len(stacks) > 1:
        _refuse(found, source)
    width = stacks[0].input_width if embedding is None else embedding.output_width_as_table
    ordered: list[Module] = []
    while remaining:
        fitting = [module for module in remaining if module.input_width == width]
        if not ordered or isinstance(ordered[-1], RecurrentStack):
            fitting = [module for module in fitting if isinstance(module, RecurrentStack)] or fitting
        if len(fitting) != 1:
            _refuse(found, source)
        ordered.append(fitting[0])
        remaining.remove(fitting[0])
        width = fitting[0].output_width
    arrangement = _straight([*([embedding] if embedding is not None else []), *ordered])
    if arrangement is None:
        _refuse(found, source)
    return arrangement


def _embedding(found: Sequence[Module], tied: Collection[str], source: str) -> Linear | None:
    """A table whose rows a recurrent module reads and that cannot stand in the head, or whose name or use says what it is."""
    stacks = [module for module in found if isinstance(module, RecurrentStack)]
    widths = {stack.input_width for stack in stacks}
    tables = [module for module in found if isinstance(module, Linear) and _may_embed(module)]
    tables = [table for table in tables if table.output_width_as_table in widths]
    named = [table for table in tables if "emb" in table.name.lower()]
    shared = [table for table in tables if table.name in tied][:1]  # of two tables either is right: they are the same numbers
    free = [table for table in tables if table.input_width not in {module.output_width for module in found}]
    certain = named or shared or free
    if len(certain) > 1 or (tables and not certain):
        _refuse(found, source)
    return certain[0] if certain else None


def _may_embed(module: Linear) -> bool:
    return "bias" not in module.arrays


def _refuse(found: Sequence[Module], source: str) -> NoReturn:
    raise ImportRefused(
        source,
        "the state dict does not tell in which order its modules are computed, and their widths leave it open "
        f"({_widths(found)}); name them in order with `order: [...]` in a --description",
    )


def _widths(found: Sequence[Module]) -> str:
    return ", ".join(f"{module.name or '(top)'} {module.input_width}→{module.output_width}" for module in found)
