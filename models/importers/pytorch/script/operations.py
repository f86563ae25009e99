"""Torch's operations on what a TorchScript program's variables stand for: what each adds to a flow, or why it adds nothing known.

Source: torch/_C/_VariableFunctions, torch.nn.functional 2.x. Knows no syntax.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from cellserve.models.importers.pytorch.script.values import Array, FinalState, Flow, NotFollowed, Step, are_zeros

WHOLE: Final = (None, 9223372036854775807)  # ends of a slice that leaves nothing out
RECURRENT: Final[Mapping[str, str | None]] = {"lstm": None, "gru": None, "rnn_tanh": "tanh", "rnn_relu": "relu"}
IN_PLACE: Final = frozenset({"relu_", "tanh_", "sigmoid_"})
FUNCTIONS: Final = {name: name.rstrip("_") for name in ("relu", "relu_", "tanh", "tanh_", "sigmoid", "sigmoid_")}
UNCHANGED: Final = frozenset({"contiguous", "detach", "clone", "alias"})


def functional(name: str, given: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Of torch.nn.functional, in terms of torch's own operations. Raises as `operation`."""
    x, *rest = given
    if name == "embedding":
        weight, _, longest = (*rest, None, None)[:3]
        if longest is not None:
            raise NotFollowed("an embedding with max_norm")
        return operation("embedding", [weight, x], {})
    if name == "dropout":
        return operation("dropout", [x, rest[0], rest[1]], {})
    if name == "softmax" and isinstance(rest[0], int):
        return operation("softmax", [x, rest[0]], {})
    if name in FUNCTIONS:
        return operation(name, [x], {})
    if name == "linear":
        return operation("linear", given, options)
    raise NotFollowed(f"torch.nn.functional.{name} is not understood")


def operation(name: str, given: Sequence[Any], options: Mapping[str, Any]) -> Any:
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
    if not isinstance(x, Flow) or not isinstance(biases, bool) or not are_zeros(start):
        raise NotFollowed("a recurrence that starts from states that it is given, or reads packed sequences")
    if train is True and dropout:
        raise NotFollowed("a dropout that is switched on; trace the model after model.eval()")
    owners = {array.place.rpartition(".")[0] for array in arrays}
    names = [array.place.rpartition(".")[2] for array in arrays]
    if len(owners) != 1 or names != _names(layers, bidirectional, biases, projected=any("weight_hr" in one for one in names)):
        raise NotFollowed("a recurrence with other arrays than one module's own, in their order")
    out, hidden, cell = recurrent(
        x, owners.pop(), RECURRENT[name], layers=layers, bidirectional=bidirectional, batch_first=batch_first
    )
    return [out, hidden, cell] if name == "lstm" else [out, hidden]


def _names(layers: int, bidirectional: bool, biases: bool, *, projected: bool) -> list[str]:
    """Of torch's recurrent modules, in the order in which they hand their arrays over."""
    own = ["weight_ih", "weight_hh", *["bias_ih", "bias_hh"] * biases, *["weight_hr"] * projected]
    sides = ("", "_reverse") if bidirectional else ("",)
    return [f"{name}_l{layer}{side}" for layer in range(layers) for side in sides for name in own]


def recurrent(
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
