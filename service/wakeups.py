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


@contextmanager
def started_patient() -> Iterator[None]:
    """Threads that the calling one starts meanwhile wait, when they wake, for an idle core or the end of a running one's slice.

    Their share of the cores stays what it is (SCHED_BATCH, which threads inherit). Elsewhere than on Linux, under a policy that
    somebody has chosen already, or where the system forbids it, nothing is changed.
    """
    if sys.platform != "linux" or os.sched_getscheduler(0) != os.SCHED_OTHER or not _set_policy(os.SCHED_BATCH):
        yield
        return
    try:
        yield
    finally:
        _set_policy(os.SCHED_OTHER)


def _set_policy(policy: int) -> bool:
    """Of the calling thread."""
    try:
        os.sched_setscheduler(0, policy, os.sched_param(0))
    except OSError as error:
        log.info("threads wake as the system has it, which may cost a tenth more under load: %s", error)
        return False
    return True
