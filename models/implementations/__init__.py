"""The ways to run a recurrent layer, by the label that requests and metrics use.

A new implementation is a module with `prepare`, what it cannot run in refusals.py, and one line here. LABELS are those that
compute in float32: only they may be chosen for whoever asks for none. Knows no networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cellserve.models.implementations import refusals
from cellserve.models.implementations.implementation import BFLOAT16, FLOAT32, Implementation, Precision

IMPLEMENTATIONS: Final[Mapping[str, Implementation]] = {
    "0": Implementation(refusals.nothing, "hoisted"),
    "1": Implementation(refusals.nothing, "per_gate"),
    "2": Implementation(refusals.nothing, "joined"),
    "fused": Implementation(refusals.by_fused, "fused"),
    "onnxruntime": Implementation(refusals.by_onnxruntime, "onnxruntime.recurrence", hands_on_nan=False),
    "packed": Implementation(refusals.by_packed, "packed.recurrence"),
    "packed-bfloat16": Implementation(refusals.by_packed_bfloat16, "packed.bfloat16", BFLOAT16),
}
LABELS: Final = tuple(label for label, one in IMPLEMENTATIONS.items() if one.precision == FLOAT32)
IN_BFLOAT16: Final = "packed-bfloat16"  # what runs where a request or model.yaml asks for that precision
INTERPRETED: Final = ("0", "1", "2")  # loops of Python operations (scan.py), which hold the interpreter on a processor

__all__ = ["BFLOAT16", "FLOAT32", "IMPLEMENTATIONS", "INTERPRETED", "IN_BFLOAT16", "LABELS", "Implementation", "Precision"]
