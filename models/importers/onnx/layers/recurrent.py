"""ONNX's LSTM, GRU and RNN as layers: one for each direction, in the canonical order of gates.

Semantics: onnxruntime's, which is what such files answer in use: onnx's reference evaluator leaves sequence_lens, clip,
input_forget and activations out. Source: onnx/defs/rnn/defs.cc of operator sets 7 to 22. An LSTM may have one input more than
ONNX gives it, a projection [D, u, p], which programs of torch have. Knows no graphs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.description import gate_order
from cellserve.models.description.gate_order import GateOrder, reorder
from cellserve.models.description.layers.activation import Activation
from cellserve.models.description.layers.cells import GruLayer, LstmLayer, SimpleRnnLayer
from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.layers.rows import LastStepLayer, ReverseLayer
from cellserve.models.description.layers.stepwise import DenseLayer
from cellserve.models.importers.onnx.layers.coupled_gates import couple
from cellserve.models.importers.onnx.node import Node
from cellserve.models.importers.onnx.values import Atom, Axis, Flow, Given, Known, NotTranslated, Part, Value, feature

Array = npt.NDArray[Any]
DIRECTIONS: Final[Mapping[str, tuple[bool, ...]]] = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
PROJECTION: Final = 8  # the input after the last that ONNX has
KEPT: Final = ("input", "output", "forget", "cell")
CELL_CLIP: Final = "cellserve.cell_clip"
"""Not ONNX's: a bound of the cell's state, in graphs that other files are turned into. onnxruntime computes without it."""


@dataclass(frozen=True, slots=True)
class Operator:
    """order: of the blocks of gates in W, R and B. functions: by default, in the order in which `activations` lists them."""

    kind: type[Layer]
    order: GateOrder
    functions: tuple[str, ...]
    states: tuple[str, ...]


OPERATORS: Final[Mapping[str, Operator]] = {
    "LSTM": Operator(LstmLayer, gate_order.LSTM_ONNX, ("Sigmoid", "Tanh", "Tanh"), ("h", "c")),
    "GRU": Operator(GruLayer, gate_order.GRU_ONNX, ("Sigmoid", "Tanh"), ("h",)),
    "RNN": Operator(SimpleRnnLayer, gate_order.SIMPLE_RNN, ("Tanh",), ("h",)),
}


def recurrent(node: Node) -> list[Value]:
    """Y, Y_h and, of an LSTM, Y_c."""
    operator = OPERATORS[node.operator]
    turns = DIRECTIONS.get(str(node.attributes.get("direction", "forward")).lower())
    if turns is None:
        raise NotTranslated(f"the direction {node.attributes['direction']!r} is not known")
    batch_first = bool(node.attributes.get("layout", 0))
    x, time, rows = _input(node, batch_first)
    node.require_whole_rows(node.input(4), x)
    stored = _arrays(node, operator, len(turns), x.width)
    functions = _functions(node, operator, len(turns))
    widths = (stored["R"].shape[-1], _units(stored))
    starts = [_start(node, place, len(turns), width, batch_first) for place, width in zip(_places(operator), widths)]
    source = node.draft.reference(x, f"{node.name}_in")
    made = [
        _direction(node, operator, source, backwards, {name: array[side] for name, array in stored.items()}, functions[side],
                   [start[side] for start in starts], "" if len(turns) == 1 else ("_backward" if backwards else "_forward"))
        for side, backwards in enumerate(turns)
    ]  # fmt: skip
    return _outputs(node, operator, made, turns, time, rows, batch_first)


def _places(operator: Operator) -> tuple[int, ...]:
    return (5, 6)[: len(operator.states)]


def _input(node: Node, batch_first: bool) -> tuple[Flow, Axis, Axis]:
    """(the sequence with its features lined up, its axis of time, its axis of rows)."""
    x = node.features(0)
    if len(x.axes) != 3:
        raise NotTranslated(f"it reads a tensor of {len(x.axes)} axes, not [time, batch, features]")
    time, rows = (x.axes[1], x.axes[0]) if batch_first else (x.axes[0], x.axes[1])
    if [one.role for one in time] != ["time"]:
        raise NotTranslated(f"what it takes for time is {_said(time)}")
    if [one.role for one in rows] not in ([], ["batch"]):
        raise NotTranslated(f"what it takes for the rows is {_said(rows)}")
    return node.draft.lined_up(x, f"{node.name}_in", 2), time, rows


def _said(axis: Axis) -> str:
    return " by ".join(one.role for one in axis) or "an axis of size 1"


def _arrays(node: Node, operator: Operator, directions: int, width: int) -> dict[str, Array]:
    """W [D, g*u, F], R [D, g*u, u], B [D, 2*g*u], and of an LSTM P [D, 3*u] and projection [D, u, p]: R is [D, g*u, p] then."""
    gates = len(operator.order)
    stored = {"W": node.constant(1, "W"), "R": node.constant(2, "R")}
    projection = node.optional(PROJECTION, "projection") if operator.kind is LstmLayer else None
    if projection is not None:
        stored["projection"] = projection
    fed, units = (stored["R"].shape[-1], _units(stored)) if stored["R"].ndim == 3 else (0, 0)
    if (said := node.attributes.get("hidden_size", units)) != units or not units:
        raise NotTranslated(f"its hidden_size is {said}, and its R {list(stored['R'].shape)}")
    optional = {"B": node.optional(3, "B"), "P": node.optional(7, "P") if operator.kind is LstmLayer else None}
    stored |= {name: array for name, array in optional.items() if array is not None}
    shapes = {"W": (gates * units, width), "R": (gates * units, fed), "B": (2 * gates * units,), "P": (3 * units,)}
    shapes["projection"] = (units, fed)
    for name, array in stored.items():
        if array.shape != (directions, *shapes[name]):
            raise NotTranslated(f"its {name} is {list(array.shape)} where {[directions, *shapes[name]]} is expected")
    return stored


def _units(stored: Mapping[str, Array]) -> int:
    return int(stored["projection"].shape[-2] if "projection" in stored else stored["R"].shape[-1])


def _functions(node: Node, operator: Operator, directions: int) -> list[list[Activation]]:
    """Of each direction. alpha and beta are listed for those functions that have them, in order."""
    names = list(node.attributes.get("activations") or operator.functions * directions)
    count = len(operator.functions)
    if len(names) != count * directions:
        raise NotTranslated(f"it lists {len(names)} activations where {count * directions} are expected")
    alphas, betas = iter(node.attributes.get("activation_alpha", ())), iter(node.attributes.get("activation_beta", ()))
    found = [_function(str(name), alphas, betas) for name in names]
    return [found[side * count : (side + 1) * count] for side in range(directions)]


def _function(name: str, alphas: Any, betas: Any) -> Activation:
    """As onnxruntime takes it: parameters that are not listed are 0, but for HardSigmoid, LeakyRelu and Elu."""
    plain = name.lower()
    if plain in PLAIN:
        return Activation.model_validate({"name": PLAIN[plain]})
    if plain not in WITH_ALPHA:
        raise NotTranslated(f"the activation {name!r} is not known")
    own, default_alpha, default_beta = WITH_ALPHA[plain]
    alpha = float(next(alphas, default_alpha))
    beta = float(next(betas, default_beta)) if default_beta is not None else None
    if own is not None:
        return Activation.model_validate({"name": own, "alpha": alpha})
    for other, (wanted_alpha, wanted_beta) in EXACT.get(plain, {}).items():
        if np.isclose(alpha, wanted_alpha, atol=1e-6) and np.isclose(beta or 0.0, wanted_beta, atol=1e-6):
            return Activation.model_validate({"name": other})
    return Activation.model_validate({"name": GENERAL[plain], "alpha": alpha, "beta": beta})


PLAIN: Final = {"sigmoid": "sigmoid", "tanh": "tanh", "relu": "relu", "softsign": "softsign", "softplus": "softplus"}
WITH_ALPHA: Final[Mapping[str, tuple[str | None, float, float | None]]] = {
    "leakyrelu": ("leaky_relu", 0.01, None),
    "thresholdedrelu": ("thresholded_relu", 0.0, None),
    "elu": ("elu", 1.0, None),
    "hardsigmoid": (None, 0.2, 0.5),
    "affine": (None, 0.0, 0.0),
    "scaledtanh": (None, 0.0, 0.0),
}
EXACT: Final[Mapping[str, Mapping[str, tuple[float, float]]]] = {
    "hardsigmoid": {"hard_sigmoid": (0.2, 0.5), "hard_sigmoid_relu6": (1 / 6, 0.5)},
    "affine": {"linear": (1.0, 0.0)},
    "scaledtanh": {"tanh": (1.0, 1.0)},
}
GENERAL: Final[Mapping[str, str]] = {"hardsigmoid": "clipped_affine", "affine": "affine", "scaledtanh": "scaled_tanh"}


def _clip(node: Node) -> dict[str, Any]:
    """0 or less, or infinite: none."""
    clip = float(node.attributes.get("clip", 0.0))
    return {"gate_clip": clip} if clip > 0 and np.isfinite(clip) else {}


def _start(node: Node, place: int, directions: int, units: int, batch_first: bool) -> list[str | Array | Given | None]:
    """For each direction where its first state comes from: nowhere (zeros), an array, an input of the graph, or a tensor."""
    value = node.input(place)
    if value is None:
        return [None] * directions
    if isinstance(value, Known):
        if value.fill == 0:
            return [None] * directions
        return list(_trained(value, 1 if batch_first else 0, directions, units))
    axis = 1 if batch_first else 0
    if isinstance(value, Given):
        arrays = [np.moveaxis(array, axis, 0) for array in value.places if array.ndim == 3]
        if len(arrays) != node.trials or any(len(a) != directions or a.shape[2] != units for a in arrays):
            raise NotTranslated(f"the input {value.name!r} does not have the shape of its states")
        return [Given(value.name, tuple(array[side] for array in arrays)) for side in range(directions)]
    flow = node.draft.lined_up(value, f"{node.name}_start")
    if len(flow.axes) != 3 or flow.sequence or flow.width != directions * units or flow.axes[axis] not in ((), flow.features[:1]):
        raise NotTranslated("its first state is no vector for each row")
    return [_one_reference(node, flow, side * units, units) for side in range(directions)]


def _trained(value: Known, axis: int, directions: int, units: int) -> list[Array]:  # [D, B, units]; axis: that of D
    """One vector for each direction, the same for all rows."""
    arrays = [np.moveaxis(array, axis, 0) for array in value.arrays if array.ndim == 3]
    rows = [array[:, 0] for array in arrays]
    alike = len(rows) == len(value.arrays) and all(
        np.array_equal(array, np.broadcast_to(r[:, None], array.shape)) for array, r in zip(arrays, rows)
    )
    if not alike or any(not np.array_equal(one, rows[0]) for one in rows) or rows[0].shape != (directions, units):
        raise NotTranslated("it starts from constant states that are not the same for all rows")
    return list(rows[0])


def _always(node: Node, source: str, width: int, array: Array, name: str) -> str:
    """A vector that every row has, as a layer makes it: of the row's last step, times zeros, and a bias."""
    last = node.draft.add(LastStepLayer, f"{name}_row", [source])
    arrays = {"kernel": np.zeros((width, len(array)), np.float32), "bias": array}
    return node.draft.add(DenseLayer, name, [last], arrays, units=len(array))


def _one_reference(node: Node, flow: Flow, start: int, units: int) -> str:
    parts = node.draft.selected(flow, range(start, start + units), f"{node.name}_start")
    return node.draft.reference(Flow(parts, ((),)), f"{node.name}_start")


def _direction(
    node: Node,
    operator: Operator,
    source: str,
    backwards: bool,
    stored: Mapping[str, Array],
    functions: Sequence[Activation],
    starts: Sequence[str | Array | Given | None],
    suffix: str,
) -> str:
    """The layer's name."""
    given = [start for start in starts if isinstance(start, Given)]
    made = [start for start in starts if start is not None and not isinstance(start, Given)]
    if given and made:
        raise NotTranslated("of its first states one is an input of the graph and another is not")
    computed: list[str] = []
    for start, state, width in zip(starts, operator.states, (stored["R"].shape[-1], _units(stored))):
        if isinstance(start, str):
            computed.append(start)
        elif made and not isinstance(start, Given):
            array = np.zeros(width, np.float32) if start is None else start
            computed.append(_always(node, source, stored["W"].shape[-1], array, f"{node.name}{suffix}_{state}_start"))
    options, arrays = _layer(node, operator, stored, functions)
    options |= {"go_backwards": backwards, "return_sequences": node.used[0], "units": _units(stored)}
    name = node.draft.add(operator.kind, f"{node.name}{suffix}", (source, *computed), arrays, **options)
    for state, start in zip(operator.states, starts):
        if isinstance(start, Given):
            node.starts[name, state] = start
    return name


def _layer(
    node: Node, operator: Operator, stored: Mapping[str, Array], functions: Sequence[Activation]
) -> tuple[dict[str, Any], dict[str, Array]]:
    """(its options, its canonical arrays)."""
    canonical = operator.kind.gates  # type: ignore[attr-defined]
    arrays = {
        "kernel": reorder(stored["W"].T, operator.order, canonical),
        "recurrent_kernel": reorder(stored["R"].T, operator.order, canonical),
    }
    candidate = functions[0] if operator.kind is SimpleRnnLayer else functions[1]
    options: dict[str, Any] = {"use_bias": "B" in stored, "activation": candidate, **_clip(node)}
    reset_after = operator.kind is GruLayer and bool(node.attributes.get("linear_before_reset", 0))
    if "B" in stored:
        bias, recurrent_bias = (reorder(half, operator.order, canonical) for half in np.split(stored["B"], 2))
        arrays |= {"bias": bias, "recurrent_bias": recurrent_bias} if reset_after else {"bias": bias + recurrent_bias}
    if operator.kind is not SimpleRnnLayer:
        options["recurrent_activation"] = functions[0]
    if operator.kind is GruLayer:
        options["reset_after"] = reset_after
    if operator.kind is LstmLayer:
        if functions[1] != functions[2]:
            options["output_activation"] = functions[2]
        if CELL_CLIP in node.attributes:
            options["cell_clip"] = float(node.attributes[CELL_CLIP])
        if "P" in stored:
            options["peepholes"] = True
            arrays |= {f"peephole_{gate}": block for gate, block in zip("iof", np.split(stored["P"], 3))}
        if "projection" in stored:
            options["projection_units"] = stored["R"].shape[-1]
            arrays["projection"] = stored["projection"]
        if node.attributes.get("input_forget"):
            couple(options, arrays, functions[0])
    return options, arrays


def _outputs(
    node: Node, operator: Operator, made: Sequence[str], turns: Sequence[bool], time: Axis, rows: Axis, batch_first: bool
) -> list[Value]:
    layer: Any = next(layer for layer in node.draft.layers if layer.name == made[0])
    side: Axis = (feature(2, node.trials),) if len(made) == 2 else ()
    outputs: list[Value] = []
    for place, used in enumerate(node.used):
        state = None if place == 0 else operator.states[place - 1]
        units = layer.state_widths[state or "h"]
        own: Axis = (feature(units, node.trials),) if units > 1 else ()
        features: tuple[Atom, ...] = (*side, *own)
        axes: tuple[Axis, ...] = (side, rows, own) if state else (time, side, rows, own)
        if batch_first:
            axes = (rows, side, own) if state else (rows, time, side, own)
        parts = tuple(
            _part(node, name, state, backwards, units) if used else Part(name, units) for name, backwards in zip(made, turns)
        )
        outputs.append(Flow(parts, axes, features))
    return outputs


def _part(node: Node, name: str, state: str | None, backwards: bool, units: int) -> Part:
    if state is not None:
        whole = node.used[0] or state != "h"
        return Part(f"{name}:{state}" if whole else name, units, (name, state))
    if not backwards:
        return Part(name, units)
    return Part(node.draft.add(ReverseLayer, f"{name}_in_time", [name]), units)
