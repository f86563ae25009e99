"""A session of ONNX Runtime, as all of ours are: on the calling thread alone, on a processor. Knows no networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def new_session(model: bytes) -> InferenceSession:
    """No plans are kept per shape, because chunks come in all shapes. The library is imported with the first one."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = False
    return InferenceSession(model, options, providers=["CPUExecutionProvider"])
