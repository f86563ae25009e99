"""All rows of a request answered, or none left behind: the bridge between event loop and engine, over a fake engine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from cellserve.service.api.calls import Call, enter
from cellserve.service.api.submission.execution import Execution
from cellserve.service.api.submission.inbox import Inbox
from cellserve.service.engine.asker import Asker
from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.sequence import Work
from cellserve.service.errors import Cancelled, Draining, InternalFailure, Overloaded, ServiceError

WORK = Work(VersionKey("m", 1), (np.zeros((1, 1), np.float32),))


class FakeEngine:
    """Numbers what it is given, and remembers what it is told to cancel. Refuses the work after `room`."""

    def __init__(self, room: int = 100) -> None:
        self.submitted: list[int] = []
        self.cancelled: list[int] = []
        self.askers: list[Asker] = []
        self.room = room
        self.at_once: Delivery | None = None
        self.together: list[int] = []
        self.idle = True

    def spare(self) -> bool:
        return self.idle

    def short(self, works: Sequence[Work], alone: bool) -> str | None:
        return None if self.at_once is None else self.at_once.implementation

    def run_at_once(self, works: Sequence[Work], implementation: str, arrived_seconds: Sequence[float]) -> list[Delivery]:
        assert self.at_once is not None
        assert len(works) == len(arrived_seconds)
        self.together.append(len(works))
        return [self.at_once._replace(implementation=implementation)] * len(works)

    def submit_all(self, works: Sequence[Work], asker: Asker) -> list[int]:
        if len(self.submitted) + len(works) > self.room:
            raise Overloaded("full")
        self.askers.append(asker)
        first = len(self.submitted) + 10
        self.submitted += range(first, first + len(works))
        return self.submitted[-len(works) :]

    def turn_away(self) -> ServiceError:
        return Overloaded("not read")

    def cancel(self, sequence_id: int) -> None:
        self.cancelled.append(sequence_id)


def delivery(sequence_id: int, error: ServiceError | None = None) -> Delivery:
    return Delivery(sequence_id, (), None, error, "2", 1, 1, 0.0, 0.0)


def deliver_from_a_thread(inbox: Inbox, *deliveries: Delivery) -> None:
    thread = threading.Thread(target=inbox.deliver, args=(list(deliveries),))
    thread.start()
    thread.join()


@pytest.fixture
async def inbox() -> Inbox:
    return Inbox(asyncio.get_running_loop())


async def started(execution: Execution, rows: int) -> asyncio.Task[list[Delivery]]:
    task = asyncio.create_task(execution.run([WORK] * rows))
    await asyncio.sleep(0)
    return task


async def test_rows_are_answered_in_order_whatever_the_order_of_delivery(inbox: Inbox) -> None:
    engine = FakeEngine()
    task = await started(Execution(engine, inbox), 3)
    deliver_from_a_thread(inbox, delivery(12), delivery(10))
    deliver_from_a_thread(inbox, delivery(11), delivery(99))
    assert [each.sequence_id for each in await task] == [10, 11, 12]
    assert engine.cancelled == []


async def test_what_is_computed_at_once_is_not_submitted(inbox: Inbox) -> None:
    engine = FakeEngine()
    engine.at_once = delivery(-1)
    assert await Execution(engine, inbox).run([WORK]) == [engine.at_once]
    engine.at_once = delivery(-1, InternalFailure("broken"))
    with pytest.raises(InternalFailure, match="broken"):
        await Execution(engine, inbox).run([WORK])
    assert engine.submitted == engine.cancelled == []


async def test_the_rows_of_a_short_request_are_computed_together(inbox: Inbox) -> None:
    engine = FakeEngine()
    engine.at_once = delivery(-1)
    assert await Execution(engine, inbox).run([WORK] * 3) == [engine.at_once] * 3
    assert engine.together == [3]
    assert engine.submitted == []


async def test_short_requests_that_come_together_are_computed_together(inbox: Inbox) -> None:
    engine = FakeEngine()
    engine.at_once = delivery(-1)
    execution = Execution(engine, inbox)
    for _ in range(5):
        execution.at_door.begin_call()
    async with asyncio.timeout(60):
        assert await asyncio.gather(*(execution.run([WORK]) for _ in range(5))) == [[engine.at_once]] * 5
    assert engine.together == [5]
    engine.at_once = delivery(-1, InternalFailure("broken"))
    answers = await asyncio.gather(*(execution.run([WORK]) for _ in range(2)), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["broken", "broken"]


async def test_who_waits_for_a_worker_is_no_company(inbox: Inbox) -> None:
    engine = FakeEngine()
    execution = Execution(engine, inbox)
    for _ in range(3):
        execution.at_door.begin_call()
    tasks = [await started(execution, rows) for rows in (1, 2)]
    engine.at_once = delivery(-1)
    await execution.run([WORK])
    assert engine.together == [1]
    deliver_from_a_thread(inbox, delivery(10), delivery(11), delivery(12))
    await asyncio.gather(*tasks)
    assert execution.at_door.near(0.0) == 3


async def test_a_row_that_fails_takes_the_others_along(inbox: Inbox) -> None:
    engine = FakeEngine()
    task = await started(Execution(engine, inbox), 3)
    deliver_from_a_thread(inbox, delivery(10), delivery(11, InternalFailure("broken")))
    with pytest.raises(InternalFailure, match="broken"):
        await task
    assert engine.cancelled == [12]


async def test_a_request_that_is_refused_leaves_nothing_behind(inbox: Inbox) -> None:
    engine = FakeEngine(room=2)
    with pytest.raises(Overloaded):
        await Execution(engine, inbox).run([WORK] * 3)
    assert engine.submitted == engine.cancelled == []


async def test_the_engine_is_told_who_asks(inbox: Inbox) -> None:
    engine = FakeEngine()
    execution = Execution(engine, inbox)
    enter(Call("1", lambda: Asker("somebody", ticket="t")))
    tasks = [asyncio.create_task(run([WORK])) for run in (execution.run, execution.feed)]
    await asyncio.sleep(0)
    assert engine.askers == [Asker("somebody", ticket="t"), Asker("somebody", live=True, ticket="t")]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_cancelled_caller_cancels_what_is_still_under_way(inbox: Inbox) -> None:
    engine = FakeEngine()
    task = await started(Execution(engine, inbox), 3)
    deliver_from_a_thread(inbox, delivery(11))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.cancelled == [10, 12]
    deliver_from_a_thread(inbox, delivery(10), delivery(12))  # late, and dropped
    await asyncio.sleep(0)


async def test_closed_is_closed_to_the_new_only(inbox: Inbox) -> None:
    engine = FakeEngine()
    execution = Execution(engine, inbox)
    task = await started(execution, 1)
    execution.close()
    with pytest.raises(Draining):
        await execution.run([WORK])
    deliver_from_a_thread(inbox, delivery(10))
    assert len(await task) == 1
    assert not execution.accepting


async def test_a_dead_engine_ends_everything_under_way(inbox: Inbox) -> None:
    execution = Execution(FakeEngine(), inbox)
    tasks = [await started(execution, 2) for _ in range(2)]
    execution.fail(InternalFailure("dead"))
    for task in tasks:
        with pytest.raises(InternalFailure, match="dead"):
            await task
    with pytest.raises(InternalFailure, match="dead"):
        await execution.run([WORK])


async def test_what_runs_aside_is_answered_where_a_worker_has_nothing_to_do(inbox: Inbox) -> None:
    engine = FakeEngine()
    execution = Execution(engine, inbox)
    engine.idle = False
    assert await execution.run_aside([WORK]) is None
    assert engine.submitted == []
    engine.idle = True
    aside = asyncio.create_task(execution.run_aside([WORK, WORK]))
    await asyncio.sleep(0)
    assert not execution.spare()
    assert await execution.run_aside([WORK]) is None  # one at a time
    deliver_from_a_thread(inbox, delivery(11), delivery(10))
    done = await aside
    assert done is not None
    assert [one.sequence_id for one in done] == [10, 11]
    assert execution.spare()


async def test_what_runs_aside_makes_way_for_a_request_before_that_is_submitted(inbox: Inbox) -> None:
    engine = FakeEngine()
    execution = Execution(engine, inbox)
    aside = asyncio.create_task(execution.run_aside([WORK, WORK]))
    await asyncio.sleep(0)
    request = await started(execution, 1)  # another worker has nothing to do
    assert engine.cancelled == []
    engine.idle = False
    other = await started(execution, 1)
    assert engine.cancelled == [10, 11]
    deliver_from_a_thread(inbox, delivery(10, Cancelled("it made way")), delivery(12), delivery(13))
    assert await aside is None
    assert len(await request) == len(await other) == 1


async def test_what_runs_aside_is_no_overload_and_no_request_of_a_stopping_server(inbox: Inbox) -> None:
    execution = Execution(FakeEngine(room=0), inbox)
    assert await execution.run_aside([WORK]) is None
    execution.close()
    assert await execution.run_aside([WORK]) is None


async def test_what_fails_aside_is_told(inbox: Inbox) -> None:
    execution = Execution(FakeEngine(), inbox)
    aside = asyncio.create_task(execution.run_aside([WORK]))
    await asyncio.sleep(0)
    deliver_from_a_thread(inbox, delivery(10, InternalFailure("broken")))
    with pytest.raises(InternalFailure):
        await aside
    assert execution.spare()
