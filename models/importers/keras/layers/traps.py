"""What of a recurrent layer of Keras other releases, or today's, would compute otherwise: each found, and said in a note.

Pure: decides from the layer, its options and the release. Sources: as configuration/era. Knows no arrays but their shapes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from cellserve.models.description.layers.recurrent import MaskRule, RecurrentLayer
from cellserve.models.importers.keras.configuration.era import Era
from cellserve.models.importers.keras.configuration.options import Config
from cellserve.models.importers.keras.layers.records import CUDNN, RECORDS

HARD_SIGMOIDS: Final = {
    "hard_sigmoid": "hard_sigmoid is clip(0.2 x + 0.5, 0, 1), as everywhere before Keras 3, which would read it otherwise",
    "hard_sigmoid_relu6": "hard_sigmoid is relu6(x + 3) / 6, as Keras 3 means it; before it was clip(0.2 x + 0.5, 0, 1)",
}
MASK_RULES: Final[dict[MaskRule, str]] = {
    "ignore": "its mask changes nothing",
    "reset": "a masked step is computed like any other and the state is set to zeros after it",
    "zero_or_empty": "masked steps and steps of zeros keep the state and answer zeros (0.3.0 looked at the whole batch for that; "
    "here every row is a batch of its own)",
    "repeat": "a masked step keeps the state and repeats the last answer, zeros before the first",
    "repeat_from_state": "a masked step keeps the state and repeats the last answer, the initial state before the first",
    "zero": "a masked step keeps the state and answers zeros",
}


def traps(layer: RecurrentLayer, class_name: str, config: Config, era: Era, *, masked: bool, turned_back: bool) -> Iterator[str]:
    """One sentence's rest for each. `masked`: a mask reaches the layer. `turned_back`: its sequence is put right after it."""
    release = f"Keras {era.version}"
    functions = {option: activation.name for option, activation in layer.functions.items()}
    cudnn = class_name in CUDNN
    for name in sorted(set(functions.values()) & HARD_SIGMOIDS.keys()):
        yield HARD_SIGMOIDS[name]
    for option, name in functions.items():
        if option not in config and not cudnn:
            yield f"its {option} is not written down; {name} was the default of {release}"
    if masked:
        yield f"as in {release}, {MASK_RULES[layer.mask_rule]}"
    if layer.go_backwards and layer.return_sequences and not turned_back:
        yield "it runs backwards, and so does its output: the first answer is that for the last step"
    yield from RECORDS[type(layer)].traps(layer, config, cudnn, release)
    if layer.stateful:
        yield "stateful: a live sequence keeps its states, every other request starts from zeros or from the states it brings"


def stored_traps(layer: RecurrentLayer, class_name: str, shapes: Sequence[tuple[int, ...]], *, pmat_given: bool) -> Iterator[str]:
    """Of its arrays. `shapes`: of those that are its own; `pmat_given`: a JZS layer's Pmat comes from beside the file."""
    record, gates = RECORDS[type(layer)], len(layer.gates)
    if record.triples is not None and len(shapes) == 3 * gates:
        yield f"its {len(shapes)} arrays come gate by gate, in the order {', '.join(record.triples)}, and were joined"
    if class_name == record.cudnn:
        yield f"{class_name} keeps its matrices in the memory order of CuDNN, and two biases; they were turned, and joined"
    elif record.cudnn is not None and list(shapes[2:3]) == [(2 * gates * layer.units,)]:
        yield "its arrays are those of a CuDNN layer, as two biases in one row tell; they were turned, and joined"
    yield from record.stored_traps(layer, shapes, pmat_given)
