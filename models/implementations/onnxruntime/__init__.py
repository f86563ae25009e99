"""Implementation "onnxruntime": layers, and whole chunks of a network, in runs of ONNX Runtime."""

from cellserve.models.implementations.onnxruntime.recurrence import prepare, unsupported

__all__ = ["prepare", "unsupported"]
