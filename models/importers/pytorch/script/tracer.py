"""A TorchScript program followed by its syntax tree for one example, so that what it does with tensors is written down as calls.

The code is read, never compiled: loops are unrolled, branches taken as sizes and options decide them. Knows no layers. Source:
torch/csrc/jit/serialization/python_print.cpp 2.x.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch

from cellserve.models.importers.pytorch.script.file import Script, ScriptObject, plain_kind
from cellserve.models.importers.pytorch.script.plain import UNKNOWN, plain, to_number, truth
from cellserve.models.importers.pytorch.script.recorder import Recorder
from cellserve.models.importers.pytorch.script.values import Count, Function, Missing, Module, NotFollowed

MOST_STATEMENTS: Final = 400_000
DEEPEST: Final = 60  # calls within calls
RAISING: Final = "RaiseException"
CASTS: Final[Mapping[str, type]] = {"int": int, "float": float, "bool": bool}
ATEN: Final = "ops.aten."
PRIM: Final = "ops.prim."
OTHERS: Final = "ops."


@dataclass(frozen=True, slots=True)
class Returned:
    value: Any


@dataclass(frozen=True, slots=True)
class Decision:
    """A branch or a loop that depends on sizes of the inputs: on those of the names `of`."""

    of: frozenset[str]
    text: str


@dataclass
class Tracer:
    """`attributes`: of modules, by their object and name, where they are others than the file's.

    `changed`: those that the program sets, with their places; `decisions`: what it did by sizes of its inputs, but for what
    raises an error otherwise; `loops`: whether it has a loop, which a trace has not.
    """

    script: Script
    recorder: Recorder
    attributes: dict[tuple[int, str], Any] = field(default_factory=dict)
    changed: dict[tuple[int, str], str] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    loops: bool = False
    _statements: int = 0
    _deep: int = 0

    def forward(self, given: Sequence[Any]) -> Any:
        """What the root's forward makes. Raises NotFollowed."""
        try:
            forward = self.script.forward
            return self._method(Module(self.script.root, ""), "forward" if forward is None else forward.name, given, {})
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
            raise NotFollowed(f"its code is of a form not known here ({type(error).__name__}: {error})") from error

    def _method(self, module: Module, name: str, given: Sequence[Any], options: Mapping[str, Any]) -> Any:
        body = self.script.classes.get(module.made.kind)
        if body is None:
            raise NotFollowed(f"it has no code for {plain_kind(module.made.kind)}")
        function = next((one for one in body.body if isinstance(one, ast.FunctionDef) and one.name == name), None)
        if function is None:
            raise NotFollowed(f"{plain_kind(module.made.kind)} has no {name}")
        before = self.recorder.place, self.recorder.kind
        self.recorder.place, self.recorder.kind = module.place.removesuffix("."), plain_kind(module.made.kind)
        try:
            return self._run(function, [module, *given], options)
        finally:
            self.recorder.place, self.recorder.kind = before

    def _run(self, function: ast.FunctionDef, given: Sequence[Any], options: Mapping[str, Any]) -> Any:
        names = [one.arg for one in function.args.args]
        scope = dict(zip(names, given)) | dict(options)
        defaults = dict(zip(names[len(names) - len(function.args.defaults) :], function.args.defaults))
        for name in names:
            if name not in scope:
                if name not in defaults:
                    raise NotFollowed(f"{function.name} is not given its {name}")
                scope[name] = self._value(defaults[name], {})
        self._deep += 1
        if self._deep > DEEPEST:
            raise NotFollowed("its functions call each other more deeply than any network's")
        try:
            done = self._block(function.body, scope)
        finally:
            self._deep -= 1
        return None if done is None else done.value

    def _block(self, statements: Sequence[ast.stmt], scope: dict[str, Any]) -> Returned | None:
        for statement in statements:
            self._statements += 1
            if self._statements > MOST_STATEMENTS:
                raise NotFollowed("it runs more than any sequence of layers does")
            try:
                done = self._statement(statement, scope)
            except NotFollowed as stopped:
                raise (stopped if stopped.placed else _stopped(statement, str(stopped))) from stopped
            if done is not None:
                return done
        return None

    def _statement(self, statement: ast.stmt, scope: dict[str, Any]) -> Returned | None:
        match statement:
            case ast.Return(value=value):
                return Returned(None if value is None else self._value(value, scope))
            case ast.Assign(targets=[target], value=value):
                self._assign(target, self._value(value, scope), scope)
            case ast.AnnAssign(target=target, value=value):
                if value is not None:
                    self._assign(target, self._value(value, scope), scope)
            case ast.Expr(value=value):
                self._value(value, scope)
            case ast.If(test=test, body=body, orelse=orelse):
                return self._branch(self._value(test, scope), body, orelse, statement, scope)
            case ast.For(target=target, iter=over, body=body):
                return self._loop(target, self._value(over, scope), body, statement, scope)
            case ast.While(test=test, body=body):
                while self._decided(self._value(test, scope), (), statement):
                    if (done := self._block(body, scope)) is not None:
                        return done
            case ast.With(body=body):  # torch.no_grad() and its like
                return self._block(body, scope)
            case ast.Pass():
                pass
            case _:
                raise NotFollowed("this statement is not understood")
        return None

    def _branch(
        self, test: Any, body: Sequence[ast.stmt], orelse: Sequence[ast.stmt], statement: ast.stmt, scope: dict[str, Any]
    ) -> Returned | None:
        yes = truth(test)
        self._decided(test, orelse if yes else body, statement)
        return self._block(body if yes else orelse, scope)

    def _decided(self, test: Any, other: Sequence[ast.stmt], statement: ast.stmt) -> bool:
        """`other`: what would be done instead."""
        yes = truth(test)
        if isinstance(test, Count) and not any(RAISING in ast.unparse(one) for one in other):
            self.decisions.append(Decision(test.of, _text(statement)))
        return yes

    def _loop(
        self, target: ast.expr, over: Any, body: Sequence[ast.stmt], statement: ast.stmt, scope: dict[str, Any]
    ) -> Returned | None:
        self.loops = True
        if isinstance(over, Count):
            self.decisions.append(Decision(over.of, _text(statement)))
            over = range(over.value)
        for one in over:
            self._assign(target, one, scope)
            if (done := self._block(body, scope)) is not None:
                return done
        return None

    def _assign(self, target: ast.expr, value: Any, scope: dict[str, Any]) -> None:
        match target:
            case ast.Name(id=name):
                scope[name] = value
            case ast.Tuple(elts=parts) if isinstance(value, list) and len(value) == len(parts):
                for one, part in zip(parts, value):
                    self._assign(one, part, scope)
            case ast.Tuple(elts=parts) if isinstance(value, Missing):
                for one in parts:
                    self._assign(one, value, scope)
            case ast.Attribute(value=owner, attr=name) if isinstance(module := self._value(owner, scope), Module):
                key = id(module.made), name
                self.attributes[key], self.changed[key] = value, module.place + name
            case _:
                raise NotFollowed("this assignment is not understood")

    def _value(self, node: ast.expr, scope: Mapping[str, Any]) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                if name in scope:
                    return scope[name]
                if name in ("inf", "nan"):
                    return float(name)
                raise NotFollowed(f"{name} is not understood")
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                return [self._value(one, scope) for one in parts]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self._value(operand, scope)
            case ast.Attribute():
                return self._attribute(node, scope)
            case ast.Subscript(value=whole, slice=place):
                found, at = self._value(whole, scope), self._value(place, scope)
                return found if isinstance(found, Missing) else found[at.value if isinstance(at, Count) else at]
            case ast.Call():
                return self._call(node, scope)
        raise NotFollowed("this expression is not understood")

    def _attribute(self, node: ast.Attribute, scope: Mapping[str, Any]) -> Any:
        written = ast.unparse(node)
        if written.startswith("CONSTANTS.c"):
            return self.recorder.constant(self.script.constants[int(written.removeprefix("CONSTANTS.c"))])
        if written.startswith("__torch__."):
            return Function(written)
        owner = self._value(node.value, scope)
        if isinstance(owner, Module):
            return self._own(owner, node.attr)
        if isinstance(owner, ScriptObject):
            return owner.attributes[node.attr]
        raise NotFollowed(f"{written} is not understood")

    def _own(self, module: Module, name: str) -> Any:
        if name == "training":
            return False  # whatever it was when the file was written: nobody serves a model in training
        key = id(module.made), name
        if key in self.attributes:
            return self.attributes[key]
        if name in module.made.attributes:
            return self._stored(module.made.attributes[name], module.place + name)
        for one in self.script.classes[module.made.kind].body:
            if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and one.target.id == name and one.value:
                return self._value(one.value, {})
        raise NotFollowed(f"{plain_kind(module.made.kind)} has no {name}")

    def _stored(self, value: Any, place: str) -> Any:
        if isinstance(value, torch.Tensor):
            return self.recorder.constant(value, place)
        if isinstance(value, ScriptObject):
            return Module(value, f"{place}.")
        if isinstance(value, list | tuple):
            return [self._stored(one, f"{place}.{number}") for number, one in enumerate(value)]
        return value

    def _call(self, node: ast.Call, scope: Mapping[str, Any]) -> Any:
        name = ast.unparse(node.func)
        if name == "uninitialized":
            return None
        if name in ("annotate", "unchecked_cast"):
            return self._value(node.args[1], scope)
        if name in ("isinstance", "ops.prim.isinstance"):
            raise NotFollowed("what it does depends on the types of its values")
        given = [self._value(one, scope) for one in node.args]
        options = {one.arg: self._value(one.value, scope) for one in node.keywords if one.arg is not None}
        if name in CASTS:
            return to_number(CASTS[name], given[0])
        if name == "getattr":
            return self._own(given[0], str(given[1]))
        if name == "range":
            return given[0] if isinstance(given[0], Count) else range(*given)
        if name.startswith("torch."):
            return self._operation(name.removeprefix("torch."), given, options)
        if name.startswith(ATEN):
            return self._operation(name.removeprefix(ATEN), given, options)
        if name.startswith(PRIM):
            made = plain(f"prim.{name.removeprefix(PRIM)}", given, options, self.recorder)
            return Missing(f"{name} is not understood") if made is UNKNOWN else made
        if name.startswith(OTHERS):
            return Missing(f"{name.removeprefix(OTHERS)} is no operation that a layer is made of")
        if name.startswith("__torch__.") and name.endswith((".__new__", ".__init__")):
            return None
        return self._own_call(node, name, given, options, scope)

    def _own_call(
        self, node: ast.Call, name: str, given: Sequence[Any], options: Mapping[str, Any], scope: Mapping[str, Any]
    ) -> Any:
        if isinstance(node.func, ast.Attribute) and not name.startswith("__torch__."):
            owner = self._value(node.func.value, scope)
            if isinstance(owner, Module):
                return self._method(owner, node.func.attr, given, options)
            if owner is None:  # __init__ of what torch.no_grad() makes
                return None
        function = self._value(node.func, scope)
        if isinstance(function, Function) and function.name in self.script.functions:
            return self._run(self.script.functions[function.name], given, options)
        raise NotFollowed(f"{name} is not understood")

    def _operation(self, name: str, given: Sequence[Any], options: Mapping[str, Any]) -> Any:
        made = plain(name, given, options, self.recorder)
        return self.recorder.call(name, given, options) if made is UNKNOWN else made


def _text(node: ast.AST) -> str:
    text = ast.unparse(node).partition("\n")[0]
    return text if len(text) < 120 else text[:117] + "..."


def _stopped(node: ast.AST, why: str) -> NotFollowed:
    return NotFollowed(f"{why}: {_text(node)}", placed=True)
