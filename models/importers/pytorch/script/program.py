"""What a TorchScript program does with its input, followed on paper: which modules run in which order, with what between them.

Values are symbols and nothing is computed. Whatever is not understood (a branch, an operation, a state that is carried) ends the
reading with its line. Source: torch/csrc/jit/serialization/python_print.cpp 2.x. Knows no arrays and no ModelSpec.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch

from cellserve.models.importers.pytorch.script.file import Script, ScriptObject, plain_kind
from cellserve.models.importers.pytorch.script.operations import (
    FUNCTIONS,
    IN_PLACE,
    RECURRENT,
    UNCHANGED,
    functional,
    operation,
    recurrent,
)
from cellserve.models.importers.pytorch.script.values import (
    UNKNOWN,
    ZEROS,
    Array,
    Flow,
    Function,
    Module,
    NotFollowed,
    are_zeros,
    flows,
    matters,
)

MOST_CALLS: Final = 20_000
FUNCTIONAL: Final = "__torch__.torch.nn.functional."
NUMBERS: Final = frozenset({"size", "dim", "len"})  # of a tensor, which only shape states of zeros
RECURRENT_MODULES: Final = frozenset(f"torch.nn.modules.rnn.{name}" for name in ("LSTM", "GRU", "RNN"))


def follow(script: Script) -> Flow:
    """The flow of the program's first answer. Raises NotFollowed, saying what and where."""
    try:
        answer = _Reader(script).called(Module(script.root, ""), "forward", [Flow()])
    except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise NotFollowed(f"its code is of a form not known here ({type(error).__name__}: {error})") from error
    while isinstance(answer, list) and answer:
        answer, *others = answer
        if any(map(flows, others)):
            raise NotFollowed("it gives several answers")
    if not isinstance(answer, Flow):
        raise NotFollowed("its answer is not what its layers make of the input")
    return answer


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
        return self._run(function, scope)

    def _run(self, function: ast.FunctionDef, scope: dict[str, Any]) -> Any:
        for statement in function.body:
            if isinstance(statement, ast.Return):
                return None if statement.value is None else self._value(statement.value, scope)
            if isinstance(statement, ast.Assign):
                _assign(statement.targets[0], self._value(statement.value, scope), scope)
            elif isinstance(statement, ast.Expr) and not matters(self._value(statement.value, scope)):
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
        called, function = name.removeprefix("torch."), self._value(node.func, scope)
        if called == "zeros" or (given and given[0] is ZEROS and called in (*UNCHANGED, "to")):
            return ZEROS
        if called in NUMBERS or not any(map(matters, [*given, *options.values()])):
            return UNKNOWN
        if any(one is changed for one in given for changed in self._changed):
            raise _stopped(node, "it reads what an operation in place has changed")
        if called in IN_PLACE or (isinstance(function, Function) and function.name in FUNCTIONS and True in given[1:]):
            self._changed.append(given[0])
        try:
            if isinstance(function, Function):
                return functional(function.name, given, options)
            return operation(called, given, options)
        except (NotFollowed, TypeError, KeyError, IndexError, ValueError) as error:
            raise _stopped(node, str(error) if isinstance(error, NotFollowed) else f"{name} is not understood") from error

    def _module(self, module: Module, constants: Mapping[str, Any], given: Sequence[Any]) -> Any:
        """torch.nn's own, whose code is long and known."""
        x, *start = given
        if not isinstance(x, Flow) or not (start in ([], [None]) or are_zeros(start)):
            raise NotFollowed(
                f"{module.place[:-1] or 'the module'} starts from states that it is given, or reads packed sequences"
            )
        mode = str(constants.get("mode", module.made.attributes.get("mode"))).lower()
        out, hidden, cell = recurrent(
            x,
            module.place[:-1],
            RECURRENT[mode],
            layers=int(constants["num_layers"]),
            bidirectional=bool(constants.get("bidirectional")),
            batch_first=bool(constants.get("batch_first")),
        )
        return [out, [hidden, cell] if mode == "lstm" else hidden]


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
