"""Threads that wake patiently: those started meanwhile and no others, and nobody's own choice is undone."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from cellserve.service.process.wakeups import PatientThreads
from tests.service.processes import Process
from tests.service.served import publish

Result = TypeVar("Result")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such a policy")


def in_a_thread(work: Callable[[], Result]) -> Result:
    """Whatever becomes of its policy ends with it."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def policy_of_a_new_thread() -> int:
    return in_a_thread(lambda: os.sched_getscheduler(0))


def test_only_threads_started_meanwhile_are_patient() -> None:
    def work() -> None:
        with PatientThreads().started():
            assert policy_of_a_new_thread() == os.SCHED_BATCH
        assert os.sched_getscheduler(0) == os.SCHED_OTHER
        assert policy_of_a_new_thread() == os.SCHED_OTHER

    in_a_thread(work)


def test_they_hurry_while_told_to() -> None:
    def work() -> None:
        threads = PatientThreads()
        with ThreadPoolExecutor(1) as pool:
            with threads.started():
                pool.submit(os.getpid).result()
            for hurried, policy in ((True, os.SCHED_OTHER), (True, os.SCHED_OTHER), (False, os.SCHED_BATCH)):
                threads.hurry(hurried)
                assert pool.submit(os.sched_getscheduler, 0).result() == policy

    in_a_thread(work)


def test_the_policy_is_back_after_an_error() -> None:
    def work() -> None:
        with pytest.raises(ZeroDivisionError), PatientThreads().started():
            raise ZeroDivisionError
        assert os.sched_getscheduler(0) == os.SCHED_OTHER

    in_a_thread(work)


def test_a_policy_that_somebody_chose_stays() -> None:
    def work() -> None:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        with PatientThreads().started():
            assert policy_of_a_new_thread() == os.SCHED_IDLE
        assert os.sched_getscheduler(0) == os.SCHED_IDLE

    in_a_thread(work)


def test_where_the_system_forbids_it_everything_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", forbidden)
    with caplog.at_level(logging.INFO), PatientThreads().started():
        assert policy_of_a_new_thread() == os.SCHED_OTHER
    assert "Operation not permitted" in caplog.text


def test_in_a_server_it_is_grpc_s_threads_and_not_the_event_loop(tmp_path: Path) -> None:
    publish(tmp_path / "repository")
    server = Process(tmp_path / "repository", front="grpc")
    try:
        server.ready()
        policies = {int(task): os.sched_getscheduler(int(task)) for task in os.listdir(f"/proc/{server.process.pid}/task")}
    finally:
        server.process.terminate()
        server.end()
    assert policies[server.process.pid] == os.SCHED_OTHER
    assert os.SCHED_BATCH in policies.values()
