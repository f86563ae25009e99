"""Recording by CUDA graphs. As little as can be, since nothing of it runs without a GPU; everything around it does.

A recording is repeated on the stream that is current by then. All of cellserve stays on a device's one default stream, so that
each repetition comes after what was launched before it, from whatever thread. While one thread records, others may launch,
allocate and wait for that stream or for events, but not for the whole device (`torch.cuda.synchronize`), which CUDA refuses
then; hence nobody does. Knows no networks.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cached_property
from threading import Lock
from typing import Any, Final

import torch

from cellserve.models.recording.recorder import Answer

_WARM_UPS = 1  # libraries choose their kernels and take their workspaces then, which they may not while recording
_ONE_AT_A_TIME: Final = Lock()  # torch allows one recording under way in a process, of whatever device


class CudaRecorder:
    """A Recorder. All recordings share one pool of memory: they never run side by side, and what one gives is copied at once."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    @torch.inference_mode()
    def record(self, run: Callable[[], Answer]) -> Callable[[], Answer]:
        with _ONE_AT_A_TIME, torch.cuda.device(self._device), _the_present_stream():
            self._side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._side):
                for _ in range(_WARM_UPS):
                    run()
            torch.cuda.current_stream().wait_stream(self._side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool, stream=self._side, capture_error_mode="thread_local"):
                answer = run()

        def repeat() -> Answer:
            graph.replay()
            return answer

        return repeat

    @cached_property
    def _side(self) -> torch.cuda.Stream:
        """Only for recording: the default stream cannot be recorded."""
        return torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]

    @cached_property
    def _pool(self) -> Any:
        return torch.cuda.graph_pool_handle()


def _the_present_stream() -> AbstractContextManager[None]:
    """Makes it the current one again at the end: a recording that fails leaves its own."""
    context: AbstractContextManager[None] = torch.cuda.stream(torch.cuda.current_stream())
    return context
