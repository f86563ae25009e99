"""Which variables of a TensorFlow 1 checkpoint are the model's and to which cell or matrix each belongs, told by their names.

A cell's variables lie in a scope named after its class, as tf.nn.dynamic_rnn and its relatives leave them. Sources: TensorFlow
1.0-1.15 python/ops/rnn_cell_impl.py, contrib/rnn. Reads no values; knows no networks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.tensorflow1.records import BY_KIND, NO_FORGET_BIAS, TensorFlow1Record

Shape = tuple[int, ...]

CELLS: Final[Mapping[str, str]] = {scope: kind for kind, record in BY_KIND.items() for scope in record.scopes}
ROLES: Final[Mapping[str, str]] = {  # the end of a variable's name, to what layout.py calls it
    "kernel": "kernel",
    "bias": "bias",
    "weights": "kernel",  # before TensorFlow 1.2
    "biases": "bias",
    "projection/kernel": "projection",
    "projection/weights": "projection",
    "w_i_diag": "peephole_i",
    "w_f_diag": "peephole_f",
    "w_o_diag": "peephole_o",
    "gates/kernel": "gates_kernel",
    "gates/bias": "gates_bias",
    "gates/weights": "gates_kernel",
    "gates/biases": "gates_bias",
    "candidate/kernel": "candidate_kernel",
    "candidate/bias": "candidate_bias",
    "candidate/weights": "candidate_kernel",
    "candidate/biases": "candidate_bias",
    "w_ru": "gates_kernel",
    "b_ru": "gates_bias",
    "w_c": "candidate_kernel",
    "b_c": "candidate_bias",
}
SLOT: Final = re.compile(
    r"(Adam|AdamW|AdaMax|Nadam|Momentum|RMSProp|Adagrad|AdagradDA|Adadelta|Ftrl|LARS|LAMB)(Optimizer)?(_\d+)?"
)
AVERAGE: Final = "ExponentialMovingAverage"
FOREIGN_CELL: Final = re.compile(
    r"((?!multi_rnn_cell)[a-z0-9_]+_cell|attention_wrapper|cudnn_lstm|cudnn_gru|cudnn_rnn\w*)(_\d+)?"
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: `variables` are their names by role, `shapes` their shapes. Its kernels' rows are [input, state]."""

    scope: str
    kind: str
    variables: Mapping[str, str]
    shapes: Mapping[str, Shape]

    @property
    def record(self) -> TensorFlow1Record:
        return BY_KIND[self.kind]

    @property
    def units(self) -> int:
        return self.shapes[self.record.bias][0] // self.record.blocks

    @property
    def output_width(self) -> int:
        return self.shapes["projection"][1] if "projection" in self.shapes else self.units

    @property
    def input_width(self) -> int:
        return self.shapes[self.record.kernel][0] - self.output_width

    @property
    def has_forget_bias(self) -> bool:
        return self.record.forgets and NO_FORGET_BIAS not in self.scope


@dataclass(frozen=True, slots=True)
class Sorted:
    """A checkpoint's variables: those of cells, the other weights, and what only training needed."""

    cells: tuple[Cell, ...]
    others: Mapping[str, Shape]
    slots: tuple[str, ...]
    averages: tuple[str, ...]


def sort_variables(shapes: Mapping[str, Shape], told: Mapping[str, str], *, whole: bool, source: str) -> Sorted:
    """`told`: scopes of cells whose names do not say their class, with their kinds; `whole`: nothing may be left out.

    Raises ImportRefused naming the scope.
    """
    averages = tuple(name for name in shapes if _last(name) == AVERAGE)
    slots = tuple(name for name in shapes if name not in averages and is_slot(name, shapes))
    weights = {name: shape for name, shape in shapes.items() if name not in {*slots, *averages}}
    owned: dict[tuple[str, str], dict[str, str]] = {}
    for name in weights:
        if (owner := _owner(name, told)) is not None:
            scope, kind, role = owner
            owned.setdefault((scope, kind), {})[role] = name
    for scope, kind in told.items():
        if (scope, kind) not in owned:
            raise ImportRefused(source, "the checkpoint holds no variables of a cell in this scope", layer=scope, option="cells")
    cells = tuple(_cell(scope, kind, variables, shapes, source) for (scope, kind), variables in owned.items())
    used = {name for variables in owned.values() for name in variables.values()}
    others = {name: shape for name, shape in weights.items() if name not in used}
    if whole:
        _refuse_foreign(others, source)
    return Sorted(cells, others, slots, averages)


def _owner(name: str, told: Mapping[str, str]) -> tuple[str, str, str] | None:
    """The scope and the kind of the cell that the variable belongs to, and its role there."""
    for ending in sorted(ROLES, key=len, reverse=True):
        scope = name.removesuffix(f"/{ending}")
        kind = told.get(scope) or CELLS.get(re.sub(r"_\d+$", "", _last(scope)))
        if scope != name and kind is not None:
            return scope, kind, ROLES[ending]
    return None


def _cell(scope: str, kind: str, variables: Mapping[str, str], shapes: Mapping[str, Shape], source: str) -> Cell:
    found, peepholes = set(variables), {role for role in variables if role.startswith("peephole")}
    record = BY_KIND[kind]
    missing, extra = set(record.needed) - found, found - set(record.needed) - record.optional
    if missing or extra or len(peepholes) not in (0, 3):
        names = ", ".join(sorted(variables.values()))
        raise ImportRefused(source, f"these are not the variables of one {kind} cell: {names}", layer=scope)
    cell = Cell(scope, kind, variables, {role: shapes[name] for role, name in variables.items()})
    ranks = all(len(shape) == (2 if "kernel" in role or role == "projection" else 1) for role, shape in cell.shapes.items())
    if not ranks or cell.units < 1 or cell.input_width < 1:
        listed = ", ".join(f"{variables[role]} {list(shape)}" for role, shape in sorted(cell.shapes.items()))
        raise ImportRefused(source, f"these shapes are not those of one {kind} cell: {listed}", layer=scope)
    return cell


def is_slot(name: str, shapes: Mapping[str, Shape]) -> bool:
    """What an optimizer keeps of a variable lies under the variable's own name; its step counters are scalars."""
    parent, _, last = name.rpartition("/")
    return shapes[name] == () or parent in shapes or SLOT.fullmatch(last) is not None


def _refuse_foreign(others: Iterable[str], source: str) -> None:
    for name in others:
        for part in name.split("/")[:-1]:
            if FOREIGN_CELL.fullmatch(part):
                known = ", ".join(CELLS)
                raise ImportRefused(source, f"this kind of cell is not supported; those in scopes named {known} are", layer=name)
        if name.endswith("/recurrent_kernel"):
            raise ImportRefused(
                source,
                "this is a Keras layer's variable: save the model with Keras itself (model.save) and import that file",
                layer=name,
            )
        if "/.ATTRIBUTES/" in name or name.startswith("_CHECKPOINTABLE"):
            raise ImportRefused(
                source,
                "this is a checkpoint of TensorFlow 2's objects; save the model with Keras (model.save) and import that file",
            )


def _last(name: str) -> str:
    return name.rpartition("/")[2]
