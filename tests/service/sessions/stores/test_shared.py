"""Replicas that share a store, each promise seen by itself."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from cellserve.service import errors
from cellserve.service.engine.facts import VersionKey
from cellserve.service.registry.status import VersionState, VersionStatus
from cellserve.service.sessions.tombstones import SessionKey
from tests.service.sessions.fakes import answer, feed, steps, version
from tests.service.sessions.stores.memory import Kept
from tests.service.sessions.stores.replicas import replicas

KEY = SessionKey("m", "a")


# --- any replica answers any feed ---


async def test_a_sequence_goes_on_at_whichever_replica_it_lands() -> None:
    _, (one, two) = replicas(2)
    first = await one.start("a", 1, 2)
    second = await two.feed("a", 3)
    third = await one.feed("a", 4)
    assert [answer(each) for each in (first, second, third)] == [[1, 3], [6], [10]]
    assert (third.position, third.epoch) == (4, first.epoch)


async def test_a_dead_replica_takes_nothing_with_it() -> None:
    _, (one, two) = replicas(2)
    began = await one.start("a", 1)
    await one.feed("a", 2)
    again = await two.feed("a", 3, position=2, epoch=began.epoch)
    assert answer(again) == [6]


async def test_a_cached_feed_reads_nothing_and_writes_once() -> None:
    store, (one,) = replicas(1)
    await one.start("a", 1)
    for number in range(5):
        await one.feed("a", number)
    assert (store.reads, store.writes) == (0, 6)


async def test_a_replica_added_loads_each_sequence_once() -> None:
    store, (one, two) = replicas(2)
    for name in "abc":
        await one.start(name, 1)
    for _ in range(3):
        for name in "abc":
            await two.feed(name, 1)
    assert (store.reads, two.observer.events.count("loaded")) == (3, 3)


# --- the fence ---


async def test_two_replicas_fed_one_sequence_at_once_never_both_apply_a_position() -> None:
    _, (one, two) = replicas(2)
    await one.start("a", 0)
    await two.feed("a", 0)
    fed = [one.feed("a", 1), two.feed("a", 10), one.feed("a", 100), two.feed("a", 1000)]
    replies = sorted(await asyncio.gather(*fed), key=lambda reply: reply.position)
    assert [reply.position for reply in replies] == [3, 4, 5, 6]
    sums = [answer(reply)[0] for reply in replies]
    assert sums[-1] == 1111
    assert all(later - earlier in (1, 10, 100, 1000) for earlier, later in zip([0, *sums], sums))


async def test_of_two_feeds_for_one_position_one_is_told_where_the_sequence_stands() -> None:
    _, (one, two) = replicas(2)
    await one.start("a", 1)
    await two.feed("a", 1, position=1)
    done = await asyncio.gather(one.feed("a", 5, position=2), two.feed("a", 7, position=2), return_exceptions=True)
    refused = [each for each in done if isinstance(each, errors.SequencePosition)]
    assert len(refused) == 1
    assert refused[0].position == 3


async def test_a_copy_that_is_old_refuses_nothing_before_it_has_looked() -> None:
    _, (one, two) = replicas(2)
    began = await one.start("a", 1)
    await two.feed("a", 2)
    assert answer(await one.feed("a", 3, position=2, epoch=began.epoch)) == [6]
    assert (await two.feed("a", position=3)).position == 3  # an empty feed is answered from the store, too


async def test_two_starts_at_once_make_one_sequence() -> None:
    _, (one, two) = replicas(2)
    done = await asyncio.gather(one.start("a", 1), two.start("a", 2), return_exceptions=True)
    assert sorted(type(each).__name__ for each in done) == ["FeedReply", "SequenceExists"]


async def test_a_start_over_is_another_life_everywhere() -> None:
    _, (one, two) = replicas(2)
    began = await one.start("a", 1)
    over = await two.start("a", 5, restart=True)
    assert over.epoch != began.epoch
    assert answer(await one.feed("a", 1)) == [6]
    with pytest.raises(errors.SequenceLost):
        await one.feed("a", 1, epoch=began.epoch)


# --- exactly once ---


@pytest.mark.parametrize("how", [{"request_id": "proxy-7"}, {"position": 1}])
async def test_a_feed_that_was_applied_gets_its_answer_again_from_another_replica(how: dict[str, object]) -> None:
    _, (one, two) = replicas(2)
    await one.start("a", 1)
    first = await one.feed("a", 2, **how)
    again = await two.feed("a", 2, **how)
    assert (answer(again), again.position, again.repeated, first.repeated) == ([3], 2, True, False)
    assert answer(await two.feed("a", 4)) == [7]
    assert two.observer.events.count("repeated") == 1


async def test_an_id_says_nothing_of_a_feed_with_other_numbers() -> None:
    _, (one, two) = replicas(2)
    await one.start("a", 1)
    await one.feed("a", 2, request_id="x")
    assert answer(await two.feed("a", 3, request_id="x")) == [6]


async def test_starts_and_ends_are_remembered_across_replicas() -> None:
    _, (one, two) = replicas(2)
    first = await one.start("a", 1, restart=True, request_id="s")
    again = await two.start("a", 1, restart=True, request_id="s")
    assert (again.repeated, again.epoch) == (True, first.epoch)
    await one.feed("a", 2, end=True, request_id="e")
    ended = await two.feed("a", 2, end=True, request_id="e")
    assert (answer(ended), ended.repeated) == ([3], True)
    with pytest.raises(errors.SequenceUnknown):
        await one.feed("a", 1)


async def test_an_answer_too_large_to_be_kept_is_not_computed_twice() -> None:
    _, (one, two) = replicas(2, one_reply_bytes=10)
    await one.start("a", 1)
    await one.feed("a", 2, request_id="x")
    with pytest.raises(errors.SequencePosition, match="applied") as told:
        await two.feed("a", 2, request_id="x")
    assert told.value.position == 2


async def test_a_write_whose_reply_was_lost_counts_and_is_found_again() -> None:
    store, (one, two) = replicas(2)
    await one.start("a", 1)
    store.dropping = 1
    with pytest.raises(errors.StoreUnavailable):
        await one.feed("a", 2, request_id="x")
    assert (await one.feed("a", 2, request_id="x")).repeated
    assert answer(await two.feed("a", 3)) == [6]


async def test_a_feed_that_is_cancelled_while_it_is_written_is_applied_once_or_not() -> None:
    store, (one,) = replicas(1)
    await one.start("a", 1)
    store.gate = asyncio.Event()
    task = asyncio.create_task(one.feed("a", 2, position=1))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    store.gate = None
    assert answer(await one.feed("a", 2, position=1)) == [3]


# --- the store away, and back ---


async def test_feeds_are_refused_while_the_store_is_away_and_go_on_after() -> None:
    store, (one,) = replicas(1)
    await one.start("a", 1)
    store.away = True
    with pytest.raises(errors.StoreUnavailable):
        await one.feed("a", 2)
    with pytest.raises(errors.StoreUnavailable):
        await one.start("b", 2)
    store.away = False
    assert answer(await one.feed("a", 2)) == [3]
    assert len(one.sessions.list()) == 1


async def test_after_a_restart_of_the_store_nobody_goes_on_before_being_told_where() -> None:
    store, (one, two) = replicas(2)
    began = await one.start("a", 1)
    earlier = dict(store.records)
    await two.feed("a", 2)
    store.restart(back_to=earlier)  # the second feed is lost
    for replica, said in ((one, {}), (two, {"epoch": began.epoch}), (one, {"position": 2, "epoch": began.epoch})):
        with pytest.raises(errors.SequencePosition) as told:
            await replica.feed("a", 3, **said)
        assert told.value.position == 1
    assert answer(await two.feed("a", 5, epoch=told.value.metadata["epoch"])) == [6]
    assert answer(await one.feed("a", 1)) == [7]


async def test_a_restart_that_lost_nothing_is_told_as_well_and_positions_go_on() -> None:
    store, (one, two) = replicas(2)
    began = await one.start("a", 1)
    store.restart()
    with pytest.raises(errors.SequencePosition):
        await two.feed("a", 2)
    assert answer(await one.feed("a", 2, position=1, epoch=began.epoch)) == [3]


async def test_a_store_that_came_back_empty_has_lost_it() -> None:
    store, (one,) = replicas(1)
    began = await one.start("a", 1)
    store.restart(back_to={})
    with pytest.raises(errors.SequenceLost):
        await one.feed("a", 2, epoch=began.epoch)
    with pytest.raises(errors.SequenceUnknown):
        await one.feed("a", 2)
    assert answer(await one.start("a", 2)) == [2]


# --- every so many feeds ---


async def test_what_was_not_written_is_told_by_position() -> None:
    store, (one, two) = replicas(2, write_every_feeds=3)
    began = await one.start("a", 1)
    for number in (2, 3, 4):
        await one.feed("a", number)
    assert store.writes == 2
    await one.feed("a", 5)
    with pytest.raises(errors.SequencePosition) as told:  # one has died
        await two.feed("a", 6)
    assert told.value.position == 4
    assert answer(await two.feed("a", 5, position=4, epoch=began.epoch)) == [15]


async def test_a_stop_writes_what_was_not() -> None:
    _, (one, two) = replicas(2, write_every_feeds=100)
    await one.start("a", 1)
    await one.feed("a", 2)
    await one.sessions.stop()
    assert answer(await two.feed("a", 3)) == [6]


async def test_a_replica_that_has_fallen_behind_says_so() -> None:
    """It has applied what it did not write; another has gone on from before."""
    _, (one, two) = replicas(2, write_every_feeds=2)
    began = await one.start("a", 1)
    await one.feed("a", 2)
    await two.feed("a", 9, position=1, epoch=began.epoch)
    await two.feed("a", 9)
    with pytest.raises(errors.SequencePosition) as told:
        await one.feed("a", 3)
    assert told.value.position == 2


# --- limits ---


async def test_idle_time_outs_hold_across_replicas() -> None:
    _, (one, two) = replicas(2, idle_seconds=10.0)
    await one.start("a", 1)
    one.clock.advance(6)
    await two.feed("a", 1)
    one.clock.advance(6)
    assert answer(await one.feed("a", 1)) == [3]  # idle here for longer, but not there
    one.clock.advance(11)
    for replica in (one, two):
        with pytest.raises(errors.SequenceExpired, match="idle time-out"):
            await replica.feed("a", 1)


async def test_age_is_that_of_the_sequence() -> None:
    _, (one, two) = replicas(2, idle_seconds=0.0, max_age_seconds=10.0)
    await one.start("a", 1)
    one.clock.advance(6)
    await two.feed("a", 1)
    one.clock.advance(5)
    with pytest.raises(errors.SequenceExpired, match="older"):
        await two.feed("a", 1)


async def test_the_one_that_would_expire_first_makes_place() -> None:
    store, (one, two) = replicas(2)
    store.most = 2
    for name in "ab":
        await one.start(name, 1)
        one.clock.advance(1)
    await two.start("c", 1)
    with pytest.raises(errors.SequenceEvicted):
        await one.feed("a", 1)
    assert answer(await one.feed("b", 1)) == [2]


async def test_what_is_dropped_here_is_not_gone() -> None:
    _, (one,) = replicas(1, max_sessions=2)
    for name in "abc":
        await one.start(name, 1)
    assert [info.session_id for info in await one.sessions.inventory()] == ["a", "b", "c"]
    assert [answer(await one.feed(name, 1)) for name in "abc"] == [[2], [2], [2]]


# --- versions ---


async def test_a_sequence_stays_on_its_version_wherever_it_lands() -> None:
    _, (one, two) = replicas(2, version("m", 1), version("m", 2))
    one.versions.stable["m"] = two.versions.stable["m"] = 1
    await one.start("a", 1)
    one.versions.stable["m"] = two.versions.stable["m"] = 2
    assert answer(await two.feed("a", 1)) == [2]
    assert answer(await two.start("b", 1)) == [2]


async def test_the_time_to_finish_on_a_version_is_over_for_all() -> None:
    _, (one, two) = replicas(2, version("m", 1), version("m", 2), drain_seconds=5.0)
    one.versions.stable["m"] = 1
    await one.start("a", 1)
    one.versions.stable["m"] = 2
    one.sessions.on_version(VersionStatus("m", 1, VersionState.UNLOADING))
    one.clock.advance(6)
    for replica in (one, two):
        with pytest.raises(errors.VersionRetired):
            await replica.feed("a", 1)


async def test_other_weights_are_refused() -> None:
    _, (one, two) = replicas(2)
    two.versions.add(version("m", 1, weights=77))
    await one.start("a", 1)
    with pytest.raises(errors.VersionRetired, match="weights"):
        await two.feed("a", 1)
    assert answer(await one.feed("a", 1)) == [2]


async def test_a_version_that_a_replica_does_not_have_is_told() -> None:
    _, (one, two) = replicas(2)
    one.versions.add(version("m", 3))
    await one.start("a", 1, version="3")
    with pytest.raises(errors.VersionRetired):
        await two.feed("a", 1)


@pytest.mark.parametrize("forged", ["nan", "cut", "text", "format", "another", "position"])
async def test_what_is_no_record_of_the_sequence_is_refused(forged: str) -> None:
    store, (one, two) = replicas(2)
    await one.start("a", 1)
    await one.start("b", 1)
    content = store.records[KEY].content
    store.records[KEY] = Kept(
        {
            "nan": content[:-4] + np.float32(np.nan).tobytes(),
            "cut": content[:-4],
            "text": b"hello",
            "format": content.replace(b"csr1", b"zzzz"),
            "another": store.records[SessionKey("m", "b")].content,
            "position": content[:16] + b"\xff" + content[17:],
        }[forged],
        None,
    )
    with pytest.raises(errors.SequenceLost, match="not a state"):
        await two.feed("a", 1)
    assert answer(await two.start("a", 5, restart=True)) == [5]
    assert answer(await one.feed("a", 1)) == [6]


async def test_a_damaged_answer_is_not_given_and_its_feed_not_applied_again() -> None:
    store, (one, two) = replicas(2)
    await one.start("a", 1)
    await one.feed("a", 2, request_id="x")
    content = store.records[KEY].content
    store.records[KEY] = Kept(content.replace(b'"implementation"', b'"implementatiom"'), None)
    with pytest.raises(errors.SequencePosition) as told:
        await two.feed("a", 2, request_id="x")
    assert told.value.position == 2
    assert answer(await two.feed("a", 3)) == [6]


# --- looked at, moved, closed ---


async def test_sequences_are_listed_with_who_worked_with_them_last() -> None:
    _, (one, two) = replicas(2)
    await one.start("a", 1)
    one.clock.advance(3)
    await one.start("b", 1)
    await two.feed("b", 1)
    found = await one.sessions.inventory()
    assert [(info.session_id, info.replica, info.position) for info in found] == [("a", "replica-0", 1), ("b", "replica-1", 2)]
    assert [(info.age_seconds, info.idle_seconds) for info in found] == [(3, 3), (0, 0)]
    assert await one.sessions.inventory("other") == []


async def test_any_replica_shows_copies_snapshots_and_closes() -> None:
    _, (one, two) = replicas(2)
    await one.start("a", 1)
    await one.feed("a", 2)
    assert (await two.sessions.inspect("m", "a")).position == 2
    await two.sessions.fork("m", "a", "b")
    assert answer(await one.feed("b", 1)) == [4]
    snapshot = await two.sessions.snapshot("m", "a")
    await one.sessions.restore("m", snapshot, "c")
    assert answer(await two.feed("c", 1)) == [4]
    await two.sessions.close("m", "a")
    with pytest.raises(errors.SequenceUnknown):
        await one.feed("a", 1)
    with pytest.raises(errors.SequenceUnknown):
        await two.sessions.inspect("m", "a")
    assert one.versions.leases[VersionKey("m", 1)] <= 1


async def test_a_start_that_is_the_end_ends_whatever_was_there() -> None:
    store, (one, two) = replicas(2)
    await one.start("a", 1)
    reply = await two.sessions.feed("m", "a", feed(steps(7), start=True, end=True, restart=True))
    assert answer(reply) == [7]
    with pytest.raises(errors.SequenceUnknown):
        await one.feed("a", 1)
    assert await one.sessions.inventory() == []
    assert store.records[KEY].live is False
    one.clock.advance(70)  # its last answer is not kept any more, and why it ended not yet forgotten
    again = await two.sessions.feed("m", "a", feed(steps(8), start=True, end=True, restart=True))
    assert answer(again) == [8]
