"""The ways to run a recurrent layer, by the label that requests and metrics use.

A new implementation is one module with `unsupported` and `prepare`, and one line here. Knows no networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cellserve.models.implementations import fused, hoisted, joined, onnxruntime, packed, per_gate
from cellserve.models.implementations.kernel import Implementation, LayerState, RecurrentKernel

IMPLEMENTATIONS: Final[Mapping[str, Implementation]] = {
    "0": hoisted,
    "1": per_gate,
    "2": joined,
    "fused": fused,
    "onnxruntime": onnxruntime,
    "packed": packed,
}
LABELS: Final = tuple(IMPLEMENTATIONS)
INTERPRETED: Final = ("0", "1", "2")  # loops of Python operations (scan.py), which hold the interpreter on a processor

__all__ = ["IMPLEMENTATIONS", "INTERPRETED", "LABELS", "Implementation", "LayerState", "RecurrentKernel"]
