"""What a TorchScript program does with its input, followed on paper: which modules run in which order, with what between them.

Values are symbols and nothing is computed. Whatever is not understood (a branch, an operation, a state that is carried) ends the
reading with its line. Source: torch/csrc/jit/serialization/python_print.cpp 2.x. Knows no arrays and no ModelSpec.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import torch

from cellserve.models.importers.torch_script_file import Script, ScriptObject, plain_kind

MOST_CALLS: Final = 20_000
WHOLE: Final = (None, 9223372036854775807)  # ends of a slice that leaves nothing out
RECURRENT: Final[Mapping[str, str | None]] = {"lstm": None, "gru": None, "rnn_tanh": "tanh", "rnn_relu": "relu"}
FUNCTIONAL: Final = "__torch__.torch.nn.functional."
IN_PLACE: Final = frozenset({"relu_", "tanh_", "sigmoid_"})
FUNCTIONS: Final = {name: name.rstrip("_") for name in ("relu", "relu_", "tanh", "tanh_", "sigmoid", "sigmoid_")}
UNCHANGED: Final = frozenset({"contiguous", "detach", "clone", "alias"})
NUMBERS: Final = frozenset({"size", "dim", "len"})  # of a tensor, which only shape states of zeros
RECURRENT_MODULES: Final = frozenset(f"torch.nn.modules.rnn.{name}" for name in ("LSTM", "GRU", "RNN"))

Step = tuple[Literal["embedding", "recurrent", "linear", "function", "last"], str]
"""What happens, and to it: the module's place; of a function its name."""


class NotFollowed(Exception):
    """What the program does that cannot be told in layers."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A tensor: what has been done to the input so far. `axes`: "f" for features, numbers for the input's first two."""

    steps: tuple[Step, ...] = ()
    axes: tuple[object, ...] = (0, 1, "f")
    time: int | None = None  # which of the axes it is, once a recurrent module has said it
    nonlinearity: str | None = None  # of nn.RNN, which a state dict does not record


@dataclass(frozen=True, slots=True)
class FinalState:
    """[layers, batch, units] after a recurrent module; `last` is its top layer's output at the end, if one state says that."""

    last: Flow | None
    layers: int


@dataclass(frozen=True, slots=True)
class Array:
    """A parameter or buffer, by its place."""

    place: str


@dataclass(frozen=True, slots=True)
class Module:
    made: ScriptObject
    place: str  # with a dot behind it, unless it is the root


@dataclass(frozen=True, slots=True)
class Function:
    """A function of torch.nn.functional, by its name there."""

    name: str


class Unknown:
    """A number or an option that does not matter to what is computed."""


class Zeros:
    """What a state is before the first step."""


UNKNOWN: Final = Unknown()
ZEROS: Final = Zeros()


def follow(script: Script) -> Flow:
    """The flow of the program's first answer. Raises NotFollowed, saying what and where."""
    reader = _Reader(script)
    answer = reader.called(Module(script.root, ""), "forward", [Flow()])
    while isinstance(answer, list) and answer:
        answer, *others = answer
        if any(map(_flows, others)):
            raise NotFollowed("it gives several answers")
    if not isinstance(answer, Flow):
        raise NotFollowed("its answer is not what its layers make of the input")
    return answer


def _flows(value: Any) -> bool:
    return isinstance(value, Flow) or (isinstance(value, list) and any(map(_flows, value)))


class _Reader:
    def __init__(self, script: Script) -> None:
        self._classes = script.classes
        self._calls = 0
        self._changed: list[Any] = []  # by operations in place, whose results are read instead

    def called(self, module: Module, method: str, given: Sequence[Any]) -> Any:
        """What a method of a module returns."""
        body = self._classes.get(module.made.kind)
        if body is None:
            raise NotFollowed(f"it has no code for {module.made.kind}")
        constants = _constants(body)
        if plain_kind(module.made.kind) in RECURRENT_MODULES and "num_layers" in constants:
            return self._module(module, constants, given)
        function = next((one for one in body.body if isinstance(one, ast.FunctionDef) and one.name == method), None)
        if function is None:
            raise NotFollowed(f"{plain_kind(module.made.kind)} has no {method}")
        names = [one.arg for one in function.args.args]
        defaults = [None] * len(function.args.defaults)
        values = [module, *given]
        missing = len(names) - len(values)
        if missing > len(defaults) or missing < 0:
            raise NotFollowed(f"{method} takes {len(names) - 1} inputs, of which only one sequence is understood")
        scope = dict(zip(names, [*values, *defaults[:missing]]))
        try:
            return self._run(function, scope, constants)
        except RecursionError as error:
            raise NotFollowed(f"{method} calls itself") from error

    def _run(self, function: ast.FunctionDef, scope: dict[str, Any], constants: Mapping[str, Any]) -> Any:
        for statement in function.body:
            if isinstance(statement, ast.Return):
                return None if statement.value is None else self._value(statement.value, scope)
            if isinstance(statement, ast.Assign):
                _assign(statement.targets[0], self._value(statement.value, scope), scope)
            elif isinstance(statement, ast.Expr) and not _matters(self._value(statement.value, scope)):
                continue
            else:
                raise _stopped(statement, "this statement is no plain sequence of layers")
        return None

    def _value(self, node: ast.expr, scope: Mapping[str, Any]) -> Any:
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return scope.get(node.id, UNKNOWN)
        if isinstance(node, ast.Tuple | ast.List):
            return [self._value(one, scope) for one in node.elts]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
            return -node.operand.value  # type: ignore[operator]
        if isinstance(node, ast.Attribute):
            if (written := ast.unparse(node)).startswith(FUNCTIONAL):
                return Function(written.removeprefix(FUNCTIONAL))
            return self._attribute(self._value(node.value, scope), node.attr)
        if isinstance(node, ast.Subscript):
            whole, place = self._value(node.value, scope), self._value(node.slice, scope)
            if isinstance(whole, list) and isinstance(place, int) and -len(whole) <= place < len(whole):
                return whole[place]
        if isinstance(node, ast.Call):
            return self._call(node, scope)
        raise _stopped(node, "this expression is not understood")

    def _attribute(self, owner: Any, name: str) -> Any:
        if not isinstance(owner, Module):
            return UNKNOWN
        if name == "training":
            return False  # whatever it was when the file was written: nobody serves a model in training
        value = owner.made.attributes.get(name, _constants(self._classes[owner.made.kind]).get(name, UNKNOWN))
        if isinstance(value, torch.Tensor):
            return Array(owner.place + name)
        return Module(value, f"{owner.place}{name}.") if isinstance(value, ScriptObject) else value

    def _call(self, node: ast.Call, scope: Mapping[str, Any]) -> Any:
        self._calls += 1
        if self._calls > MOST_CALLS:
            raise NotFollowed("it calls more than any sequence of layers does")
        given = [self._value(one, scope) for one in node.args]
        if isinstance(node.func, ast.Attribute):
            owner = self._value(node.func.value, scope)
            if isinstance(owner, Module):
                return self.called(owner, node.func.attr, given)
        name = ast.unparse(node.func)
        if name == "getattr":
            return self._attribute(given[0], str(given[1]))
        if name in ("annotate", "unchecked_cast"):
            return given[1]
        options = {one.arg: self._value(one.value, scope) for one in node.keywords if one.arg is not None}
        operation, function = name.removeprefix("torch."), self._value(node.func, scope)
        if operation == "zeros" or (given and given[0] is ZEROS and operation in (*UNCHANGED, "to")):
            return ZEROS
        if operation in NUMBERS or not any(map(_matters, [*given, *options.values()])):
            return UNKNOWN
        if any(one is changed for one in given for changed in self._changed):
            raise _stopped(node, "it reads what an operation in place has changed")
        if operation in IN_PLACE or (isinstance(function, Function) and function.name in FUNCTIONS and True in given[1:]):
            self._changed.append(given[0])
        try:
            if isinstance(function, Function):
                return _functional(function.name, given, options)
            return _operation(operation, given, options)
        except (NotFollowed, TypeError, KeyError, IndexError, ValueError) as error:
            raise _stopped(node, str(error) if isinstance(error, NotFollowed) else f"{name} is not understood") from error

    def _module(self, module: Module, constants: Mapping[str, Any], given: Sequence[Any]) -> Any:
        """torch.nn's own, whose code is long and known."""
        x, *start = given
        if not isinstance(x, Flow) or not (start in ([], [None]) or _are_zeros(start)):
            raise NotFollowed(
                f"{module.place[:-1] or 'the module'} starts from states that it is given, or reads packed sequences"
            )
        mode = str(constants.get("mode", module.made.attributes.get("mode"))).lower()
        out, hidden, cell = _recurrent(
            x,
            module.place[:-1],
            RECURRENT[mode],
            layers=int(constants["num_layers"]),
            bidirectional=bool(constants.get("bidirectional")),
            batch_first=bool(constants.get("batch_first")),
        )
        return [out, [hidden, cell] if mode == "lstm" else hidden]


def _functional(name: str, given: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Of torch.nn.functional, in terms of torch's own operations. Raises as `_operation`."""
    x, *rest = given
    if name == "embedding":
        weight, _, longest = (*rest, None, None)[:3]
        if longest is not None:
            raise NotFollowed("an embedding with max_norm")
        return _operation("embedding", [weight, x], {})
    if name == "dropout":
        return _operation("dropout", [x, rest[0], rest[1]], {})
    if name == "softmax" and isinstance(rest[0], int):
        return _operation("softmax", [x, rest[0]], {})
    if name in FUNCTIONS:
        return _operation(name, [x], {})
    if name == "linear":
        return _operation("linear", given, options)
    raise NotFollowed(f"torch.nn.functional.{name} is not understood")


def _operation(name: str, given: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Of torch: on a flow or a state. Raises NotFollowed, or TypeError, ValueError, IndexError for arguments of another kind."""
    if name in RECURRENT:
        return _recurrent_operation(name, given)
    if name == "embedding":
        weight, ids = given[:2]
        if not isinstance(ids, Flow) or ids.steps:
            raise NotFollowed("an embedding of something else than the input")
        return replace(ids, steps=(("embedding", _owner(weight, "weight")),))
    x = given[0]
    if name == "select" and isinstance(x, FinalState):
        if given[1] == 0 and given[2] in (-1, x.layers - 1) and x.last is not None:
            return x.last
        raise NotFollowed("a final state of another layer or direction than the last one's")
    if name == "squeeze" and isinstance(x, FinalState) and x.layers == 1 and given[1] == 0 and x.last is not None:
        return x.last
    if not isinstance(x, Flow):
        raise NotFollowed(f"torch.{name} of something else than the layers' outputs")
    if (simple := SIMPLE.get(name)) is not None:
        return simple(x, list(given[1:]), options)
    if name in FUNCTIONS:
        return _then(x, ("function", FUNCTIONS[name]))
    if name in UNCHANGED:
        return x
    raise NotFollowed(f"torch.{name} is not understood")


def _linear(x: Flow, given: list[Any], options: Mapping[str, Any]) -> Flow:
    weight, bias = (*given, None)[:2]
    owner = _owner(weight, "weight")
    if bias is not None and _owner(bias, "bias") != owner:
        raise NotFollowed("a matrix with the bias of another module")
    return _then(x, ("linear", owner))


def _select(x: Flow, given: list[Any], options: Mapping[str, Any]) -> Flow:
    axis, index = given
    if x.time is None or x.axes[axis] != x.time or index != -1:
        raise NotFollowed("a step other than the last is taken")
    return replace(_then(x, ("last", "")), axes=tuple(one for one in x.axes if one != x.time))


def _slice(x: Flow, given: list[Any], options: Mapping[str, Any]) -> Flow:
    whole: list[Any] = [0, None, None, 1]
    _, start, end, step = [*given, *whole[len(given) :]]
    if start not in (None, 0) or end not in WHOLE or step not in (None, 1):
        raise NotFollowed("a part of the sequence is taken")
    return x


def _transpose(x: Flow, given: list[Any], options: Mapping[str, Any]) -> Flow:
    axes = list(x.axes)
    one, other = given
    axes[one], axes[other] = axes[other], axes[one]
    if axes[-1] != "f":
        raise NotFollowed("features are turned into time")
    return replace(x, axes=tuple(axes))


def _softmax(x: Flow, given: list[Any], options: Mapping[str, Any]) -> Flow:
    axis = given[0] if given else options["dim"]
    if x.axes[axis] != "f":
        raise NotFollowed("a softmax over something else than features")
    return _then(x, ("function", "softmax"))


def _dropout(x: Flow, given: list[Any], options: Mapping[str, Any]) -> Flow:
    if given[1] is True and given[0]:
        raise NotFollowed("a dropout that is switched on; trace the model after model.eval()")
    return x


SIMPLE: Final[Mapping[str, Callable[[Flow, list[Any], Mapping[str, Any]], Flow]]] = {
    "linear": _linear,
    "select": _select,
    "slice": _slice,
    "transpose": _transpose,
    "softmax": _softmax,
    "dropout": _dropout,
    "dropout_": _dropout,
}


def _recurrent_operation(name: str, given: Sequence[Any]) -> list[Any]:
    """torch.lstm(x, states, arrays, biases, layers, dropout, train, bidirectional, batch_first), as traces call it."""
    x, start, arrays, biases, layers, dropout, train, bidirectional, batch_first = given
    if not isinstance(x, Flow) or not isinstance(biases, bool) or not _are_zeros(start):
        raise NotFollowed("a recurrence that starts from states that it is given, or reads packed sequences")
    if train is True and dropout:
        raise NotFollowed("a dropout that is switched on; trace the model after model.eval()")
    owners = {array.place.rpartition(".")[0] for array in arrays}
    if len(owners) != 1:
        raise NotFollowed("a recurrence with the arrays of several modules")
    out, hidden, cell = _recurrent(
        x, owners.pop(), RECURRENT[name], layers=layers, bidirectional=bidirectional, batch_first=batch_first
    )
    return [out, hidden, cell] if name == "lstm" else [out, hidden]


def _recurrent(
    x: Flow, place: str, nonlinearity: str | None, *, layers: int, bidirectional: bool, batch_first: bool
) -> tuple[Flow, FinalState, FinalState]:
    if len(x.axes) != 3:
        raise NotFollowed("a recurrence over something else than a sequence")
    time = x.axes[1 if batch_first else 0]
    if not isinstance(time, int) or x.time not in (None, time):
        raise NotFollowed("time is another axis for one recurrence than for the one before it")
    if x.nonlinearity is not None and nonlinearity not in (None, x.nonlinearity):
        raise NotFollowed("recurrences of different nonlinearities")
    out = replace(_then(x, ("recurrent", place)), time=time, nonlinearity=nonlinearity or x.nonlinearity)
    last = replace(_then(out, ("last", "")), axes=tuple(one for one in x.axes if one != time))
    return out, FinalState(None if bidirectional else last, layers * (1 + bidirectional)), FinalState(None, 0)


def _then(x: Flow, step: Step) -> Flow:
    return replace(x, steps=(*x.steps, step))


def _owner(array: Any, name: str) -> str:
    if not isinstance(array, Array) or array.place.rpartition(".")[2] != name:
        raise NotFollowed("an operation with an array that is no module's own weight")
    return array.place.rpartition(".")[0]


def _are_zeros(value: Any) -> bool:
    return all(map(_are_zeros, value)) if isinstance(value, list) else value is ZEROS


def _matters(value: Any) -> bool:
    """Whether what is computed depends on it."""
    return isinstance(value, Flow | FinalState | Array) or (isinstance(value, list) and any(map(_matters, value)))


def _constants(body: ast.ClassDef) -> dict[str, Any]:
    """`num_layers : Final[int] = 2`"""
    return {
        one.target.id: one.value.value
        for one in body.body
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and isinstance(one.value, ast.Constant)
    }


def _assign(target: ast.expr, value: Any, scope: dict[str, Any]) -> None:
    if isinstance(target, ast.Name):
        scope[target.id] = value
    elif isinstance(target, ast.Tuple) and isinstance(value, list) and len(value) == len(target.elts):
        for one, part in zip(target.elts, value):
            _assign(one, part, scope)
    else:
        raise _stopped(target, "this assignment is not understood")


def _stopped(node: ast.AST, why: str) -> NotFollowed:
    text = ast.unparse(node)
    return NotFollowed(f"{why}: {text if len(text) < 120 else text[:117] + '...'}")
