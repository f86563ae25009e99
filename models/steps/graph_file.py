"""The graph of a step model as bytes: its digest, its file, and the session that runs it. Knows no axes and no states.

A session runs on the calling thread alone and may be shared by several. It loads no library of custom operators, ever, and the
bytes refer to no other file (the importer has put all data inside).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol

import numpy.typing as npt

from cellserve.models.errors import InvalidWeights

Array = npt.NDArray[Any]
LARGEST_GRAPH_BYTES: Final = 1 << 30
_QUIET: Final = 4  # of onnxruntime's levels of logging: what stops the process only


class Session(Protocol):
    """Of onnxruntime, or what stands for one in a test. Runs may overlap."""

    def run(self, names: Sequence[str], given: Mapping[str, Array]) -> list[Array]: ...


@dataclass(frozen=True)
class GraphFile:
    """`content`: an ONNX model, whole."""

    content: bytes

    @classmethod
    def load(cls, path: Path) -> GraphFile:
        """Raises OSError; InvalidWeights: far too large."""
        if (size := path.stat().st_size) > LARGEST_GRAPH_BYTES:
            raise InvalidWeights(f"{path} has {size:,} bytes; a graph has at most {LARGEST_GRAPH_BYTES:,}")
        return cls(path.read_bytes())

    def save(self, path: Path) -> None:
        """Raises OSError."""
        path.write_bytes(self.content)

    @cached_property
    def digest(self) -> str:
        """ "sha256:…" of the bytes."""
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"

    def session(self) -> Session:
        """Raises InvalidWeights: onnxruntime does not load it."""
        from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions

        options = SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_mem_pattern = False  # batches come in all sizes
        options.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_LAYOUT  # one more ends the process on float16
        options.log_severity_level = _QUIET
        try:
            made: Session = InferenceSession(self.content, options, providers=["CPUExecutionProvider"])
        except MemoryError:
            raise
        except Exception as error:  # onnxruntime's own kinds, which share no base
            raise InvalidWeights(f"onnxruntime does not load the graph: {short(error)}") from error
        return made


def short(error: Exception) -> str:
    """What onnxruntime says of itself, in one line."""
    return " ".join(str(error).split())[:300]
