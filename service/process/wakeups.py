"""Threads that do not push others off their core when they wake.

Linux lets a waking thread take the core of a running one, and does so for threads that sleep much and work little, such as gRPC's
poller. Where the running one is the event loop it holds the interpreter, and everybody waits for it. Knows no gRPC.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


class PatientThreads:
    """Threads that wait, when they wake, for an idle core or the end of a running one's slice.

    Their share of the cores stays what it is (SCHED_BATCH, which threads inherit). Elsewhere than on Linux, under a policy that
    somebody has chosen already, or where the system forbids it, nothing is changed.
    """

    def __init__(self) -> None:
        self._threads: set[int] = set()
        self._hurried = False

    @contextmanager
    def started(self) -> Iterator[None]:
        """Those that the calling thread starts meanwhile."""
        if sys.platform != "linux" or os.sched_getscheduler(0) != os.SCHED_OTHER or not _set_policy(0, os.SCHED_BATCH):
            yield
            return
        before = _threads()
        try:
            yield
        finally:
            _set_policy(0, os.SCHED_OTHER)
            self._threads |= _threads() - before

    def hurry(self, hurried: bool) -> None:
        """Whether they are patient no more for now. Where no core is idle, patience would be for ever."""
        if hurried == self._hurried:
            return
        self._hurried = hurried
        policy = os.SCHED_OTHER if hurried else os.SCHED_BATCH
        self._threads = {thread for thread in self._threads if _set_policy(thread, policy)}


def _threads() -> set[int]:
    """Of this process, as the system numbers them."""
    return {int(name) for name in os.listdir("/proc/self/task")}


def _set_policy(thread: int, policy: int) -> bool:
    """thread: 0 for the calling one. False: the system forbids it, or there is no such thread any more."""
    try:
        os.sched_setscheduler(thread, policy, os.sched_param(0))
    except OSError as error:
        log.info("threads wake as the system has it, which may cost a tenth more under load: %s", error)
        return False
    return True
