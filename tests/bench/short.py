"""What decides most, in a minute and a half: the kernels against each other, in both precisions, and whether `auto` chooses well.

For machines of several kinds, and for several speeds of one (`--speeds`).
"""

from __future__ import annotations

from tests.bench import choice, kernels

ROUNDS = 3
SECONDS = 0.2  # of a contender in a round
LABELS = ("fused", "onnxruntime", "packed")
SHAPES = ((1, 16), (1, 510), (8, 16), (8, 64), (32, 16), (32, 64))  # rows, time steps


def run() -> None:
    kernels.packed_against_onnxruntime(SHAPES)
    kernels.packed_against_products()
    kernels.bfloat16_against_float32()
    kernels.by_activation(("packed",), ((1, 16), (8, 16), (32, 16)))
    choice.against_fixed(LABELS, ROUNDS, SECONDS)
