"""The ways to run a recurrent layer, by the label that requests and metrics use.

A new implementation is a module with `prepare`, what it cannot run in refusals.py, and one line here. Knows no networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cellserve.models.implementations import refusals
from cellserve.models.implementations.implementation import Implementation

IMPLEMENTATIONS: Final[Mapping[str, Implementation]] = {
    "0": Implementation(refusals.nothing, "hoisted"),
    "1": Implementation(refusals.nothing, "per_gate"),
    "2": Implementation(refusals.nothing, "joined"),
    "fused": Implementation(refusals.by_fused, "fused"),
    "onnxruntime": Implementation(refusals.by_onnxruntime, "onnxruntime.recurrence"),
    "packed": Implementation(refusals.by_packed, "packed.recurrence"),
}
LABELS: Final = tuple(IMPLEMENTATIONS)
INTERPRETED: Final = ("0", "1", "2")  # loops of Python operations (scan.py), which hold the interpreter on a processor

__all__ = ["IMPLEMENTATIONS", "INTERPRETED", "LABELS", "Implementation"]
