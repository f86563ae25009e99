"""A description of a state dict's modules that fits their shapes, for a person to read and edit: layers in a likely order.

What no array tells (padding, strides, functions, where the last step is taken) stands beside the layer as a question. Reads
names and shapes alone; knows no files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from cellserve.models.importers.pytorch.candidates import Arrays, Candidate, candidates, planes

HEADER: Final = """\
# Proposed from the names and shapes of the arrays. A state dict does not say how the program wires its modules: read every line,
# answer what is asked behind it, put in what has no arrays ({kind: activation, activation: relu}, {kind: last_step},
# {kind: padding_1d, before: 1, after: 1}, {kind: pooling_1d, mode: max, pool_size: 2, strides: 2}), and hold the import against
# the program's own answers (--expect)."""
INPUT: Final = "x"
MOST_TRIES: Final = 4_000  # of chains


def proposal(arrays: Arrays) -> str:
    """YAML of a description. What fits nowhere stands in it as a remark."""
    owned: dict[str, Arrays] = {}
    for name, array in arrays.items():
        owner, _, own = name.rpartition(".")
        owned[owner] = {**owned.get(owner, {}), own: array}
    over_bands = planes(owned)
    joined = set() if over_bands is None else set(over_bands.names)
    found = [[over_bands]] if over_bands is not None else []
    found += [candidates(name, own) for name, own in owned.items() if name not in joined]
    ordered = _ordered([alternatives for alternatives in found if alternatives])
    placed = {name for candidate in ordered for name in candidate.names}
    left = [name or "(top)" for name in owned if name not in placed]
    first = ordered[0] if ordered else None
    entry = (
        f"{{name: {INPUT}, kind: ids}}"
        if first is not None and first.ids
        else f"{{name: {INPUT}, width: {first.reads if first else '?'}}}"
    )
    said = [f"# No place was found for: {', '.join(left)}"] if left else []
    lines = list[str]()
    source = INPUT
    for candidate in ordered:
        lines += _written(candidate, source)
        source = candidate.output
    return "\n".join([HEADER, f"inputs: [{entry}]", "layout: torch", "layers:", *lines, *said]) + "\n"


def _written(candidate: Candidate, source: str) -> Iterator[str]:
    for number, line in enumerate(candidate.lines):
        question = f"  # {candidate.question}" if candidate.question and not number else ""
        yield f"  - {line.replace('@', source)}{question}"


def _ordered(found: Sequence[Sequence[Candidate]]) -> list[Candidate]:
    """The longest chain in which each reads as much as the one before it makes; of equal ones that nearest to the file.

    `found`: of each module what it may be.
    """
    best: list[Candidate] = []
    tries = 0

    def grow(chain: list[Candidate], rest: list[Sequence[Candidate]], width: int | None) -> None:
        nonlocal best, tries
        tries += 1
        if len(chain) > len(best) and chain[-1].planes is None:
            best = list(chain)
        if tries > MOST_TRIES or len(best) == len(found):
            return
        for place, alternatives in enumerate(rest):
            others = [*rest[:place], *rest[place + 1 :]]
            for candidate in alternatives:
                if not chain:
                    grow([candidate], others, candidate.makes)
                    continue
                before = None if candidate.ids or candidate.planes is not None else _before(chain[-1], candidate, width)
                if before is not None:
                    makes = candidate.makes if candidate.makes is not None else width
                    grow([*chain[:-1], before, candidate], others, makes)

    starts = sorted(found, key=lambda alternatives: (alternatives[0].planes is None, not alternatives[0].ids))
    grow([], starts, None)
    return best


def _before(last: Candidate, candidate: Candidate, width: int | None) -> Candidate | None:
    """`last` as it stands before a candidate; `width`: of what there is behind it. None: they do not fit."""
    if last.planes is not None:
        return last.read_by(candidate.reads)
    return last if candidate.reads is None or width is None or candidate.reads == width else None
