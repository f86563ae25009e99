"""Which of the arrays that an .h5 file lists for one Keras layer belong to which part of it, told by their names.

Keras lists what is trained before what is frozen, so that the order of a list says nothing of a layer of several parts: two
directions, a stack of cells. The names do: "bidirectional/forward_lstm/lstm_cell/kernel:0" (Keras 2 and 3),
"forward_lstm_1_W_i" (Keras 1), "rnn_1/kernel_1:0" (stacks of Keras 2, whose cells have no names). Pure; knows no files.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

ORDERS: Final = (
    ("kernel", "recurrent_kernel", "bias"),
    ("W", "U", "b"),
    ("gamma", "beta", "moving_mean", "moving_variance"),
    ("gamma", "beta", "running_mean", "running_std"),
    ("embeddings",),
    ("mean", "variance", "count"),
    ("scale", "concat_score_weight"),
)  # of the arrays of one layer, as get_weights() gives them
STATISTICS: Final = frozenset({"moving_mean", "moving_variance", "running_mean", "running_std"})  # never trained
ROLE: Final = re.compile(
    r"(kernel|recurrent_kernel|bias|embeddings|gamma|beta|moving_mean|moving_variance|alpha|mean|variance|count|scale|concat_score_weight)(?:_(\d+))?"
)
KERAS_1_ROLE: Final = re.compile(r"(.+)_((?:W|U|b)(?:_[a-z])?|gamma|beta|running_mean|running_std|alphas)(?:_(\d+))?")
NUMBERED: Final = re.compile(r"(.+?)(?:_(\d+))?")


class Unclear(ValueError):
    """The names do not tell; the message is a sentence that the caller completes with the layer."""


@dataclass(frozen=True, slots=True)
class Sibling:
    """One of several parts side by side. `names`: those it may have in the file. `roles`: of its arrays, each as often as it is.

    `kind`: what Keras calls it where nobody names it ("lstm_cell"); "" for a direction.
    """

    names: tuple[str, ...]
    roles: tuple[str, ...] = ()
    kind: str = ""
    frozen: bool = False


@dataclass(frozen=True, slots=True)
class Fork:
    """Parts whose arrays share one list, and which of them is meant."""

    siblings: tuple[Sibling, ...]
    chosen: int


@dataclass(frozen=True, slots=True)
class _Named:
    name: str
    path: tuple[str, ...]
    role: str
    number: int


def are_names(names: Sequence[str]) -> bool:
    """Whether they say what the arrays are: "param_0" does not."""
    return any(_parsed(name) is not None for name in names)


def of_part(names: Sequence[str], forks: Sequence[Fork]) -> list[str]:
    """Those of one part, in the order of get_weights(); `forks` lead to it from the outermost in. Raises Unclear."""
    own = [_parsed(name) or _Named(name, tuple(name.split("/")[:-1]), "", 0) for name in names]
    for fork in forks:
        own = _cell(own, fork) if fork.siblings[0].kind else _direction(own, fork)
    return [one.name for one in _in_order(own)]


def are_ordered(names: Iterable[str]) -> bool:
    """Whether it is known in which order a layer has arrays of these names; of one alone it always is."""
    roles = [_role(name) for name in names]
    return len(roles) == 1 or any(set(roles) <= set(order) for order in ORDERS)


def in_loading_order(parts: Sequence[tuple[Sequence[str], bool]]) -> list[str]:
    """All names of a layer in the order in which Keras expects them, of (names, whether it is frozen) for each part."""
    names = dict.fromkeys(name for own, _ in parts for name in own)
    frozen = {name for own, is_frozen in parts for name in own if is_frozen or _role(name) in STATISTICS}
    return [name for name in names if name not in frozen] + [name for name in names if name in frozen]


def _role(name: str) -> str:
    found = _parsed(name)
    return "" if found is None else found.role


def _parsed(name: str) -> _Named | None:
    *path, last = re.sub(r":\d+$", "", name).split("/")
    if (match := ROLE.fullmatch(last)) is not None:
        return _Named(name, tuple(path), match[1], int(match[2] or 0))
    if (match := KERAS_1_ROLE.fullmatch(last)) is not None:
        return _Named(name, (*path, match[1]), match[2], int(match[3] or 0))
    return None


def _in_order(own: Sequence[_Named]) -> list[_Named]:
    """By what the arrays are, where that is known of all; gate by gate, as Keras 1 has them, nothing can reorder them."""
    roles = [one.role for one in own]
    if len(set(roles)) == len(roles):
        for order in ORDERS:
            if set(roles) <= set(order):
                return sorted(own, key=lambda one: order.index(one.role))
    if all(any(role in order for order in ORDERS) for role in roles):
        raise Unclear(f"its arrays {_listed(own)} are named as those of no one layer")
    return list(own)


def _direction(own: Sequence[_Named], fork: Fork) -> list[_Named]:
    groups = _groups(own)
    if len(groups) != 2:
        raise Unclear(f"its arrays {_listed(own)} are not named as those of two directions")
    one, other = groups
    ways = [(one, other), (other, one)]
    depth = _common_depth(own)
    scopes = {name: {part for array in arrays for part in array.path[depth:]} for name, arrays in groups.items()}
    forward, backward = fork.siblings
    fitting = [way for way in ways if scopes[way[0]] & set(forward.names) and scopes[way[1]] & set(backward.names)]
    fitting = fitting or [
        way
        for way in ways
        if _begins(scopes[way[0]], "forward_") > _begins(scopes[way[1]], "forward_")
        or _begins(scopes[way[1]], "backward_") > _begins(scopes[way[0]], "backward_")
    ]
    if len(fitting) != 1:
        raise Unclear(f"the names of its arrays, {_listed(own)}, do not tell which of them run forward")
    return groups[fitting[0][fork.chosen]]


def _cell(own: Sequence[_Named], fork: Fork) -> list[_Named]:
    groups = _groups(own)
    names = [sibling.names[0] if sibling.names else None for sibling in fork.siblings]
    chosen = names[fork.chosen]
    if chosen is not None and len(groups) == len(set(names)) and (set(groups) == set(names) or len(groups) == 1):
        return groups[chosen] if chosen in groups else list(own)
    scoped = {name: [one for one in own if name in one.path] for name in names if name is not None}
    if chosen is not None and all(scoped.values()) and sum(map(len, scoped.values())) == len(own):
        return scoped[chosen]  # of cells that were made in another layer, whose scope comes first in their names
    if len(groups) == 1:
        return _by_number(own, fork)
    return groups[_in_turn(groups, own, fork)]


def _by_number(own: Sequence[_Named], fork: Fork) -> list[_Named]:
    """Of cells that share one scope: kernel, kernel_1 … in the order in which they were made, which is the stack's."""
    taken: list[_Named] = []
    for role, count in Counter(fork.siblings[fork.chosen].roles).items():
        numbered = sorted((one for one in own if one.role == role), key=lambda one: one.number)
        before = sum(sibling.roles.count(role) for sibling in fork.siblings[: fork.chosen])
        if len(numbered) != sum(sibling.roles.count(role) for sibling in fork.siblings):
            raise Unclear(f"its arrays {_listed(own)} are not those of {len(fork.siblings)} cells")
        taken += numbered[before : before + count]
    return taken


def _in_turn(groups: Mapping[str, Sequence[_Named]], own: Sequence[_Named], fork: Fork) -> str:
    """For cells under other names than the configuration's: those that Keras made up are numbered as they were made.

    That is the order of the stack only as a rule, so the order in the file must be the one that follows from it.
    """
    counted = sorted(groups, key=lambda name: int(match[2] or 0) if (match := NUMBERED.fullmatch(name)) else 0)
    kinds: dict[str, list[str]] = {}
    for name in counted:
        match = NUMBERED.fullmatch(name)
        kinds.setdefault(match[1] if match else name, []).append(name)
    wanted = Counter(sibling.kind for sibling in fork.siblings)
    if {kind: len(found) for kind, found in kinds.items()} == dict(wanted):
        order = [kinds[sibling.kind].pop(0) for sibling in fork.siblings]
        frozen = {name: sibling.frozen for name, sibling in zip(order, fork.siblings, strict=True)}
        if sorted(order, key=frozen.__getitem__) == list(groups):
            return order[fork.chosen]
    raise Unclear(
        f"its configuration names other cells than its arrays, which are {_listed(own)}, and nothing else tells which is which; "
        "give the configuration of the very model that was saved"
    )


def _groups(own: Sequence[_Named]) -> dict[str, list[_Named]]:
    """By the first part of their paths in which they differ, in the order of the file."""
    depth = _common_depth(own)
    groups: dict[str, list[_Named]] = {}
    for one in own:
        groups.setdefault("".join(one.path[depth : depth + 1]), []).append(one)
    return groups


def _common_depth(own: Sequence[_Named]) -> int:
    """How many scopes are around all of them."""
    depth = 0
    while own and len({one.path[depth : depth + 1] for one in own}) == 1 and any(len(one.path) > depth for one in own):
        depth += 1
    return depth


def _begins(scopes: Iterable[str], with_what: str) -> bool:
    return any(scope.startswith(with_what) for scope in scopes)


def _listed(own: Sequence[_Named]) -> str:
    return ", ".join(one.name for one in own)
