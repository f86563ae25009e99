"""Feeds, ends and refusals, each seen by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from cellserve.service import errors
from cellserve.service.engine.facts import VersionKey
from cellserve.service.registry.model_settings import ModelSettings
from cellserve.service.registry.status import VersionState, VersionStatus
from tests.service.sessions.fakes import Stage, answer, feed, steps, version


async def test_feeds_go_on_where_the_last_one_ended() -> None:
    stage = Stage()
    first = await stage.start("a", 1, 2)
    second = await stage.feed("a", 3)
    assert (answer(first), answer(second)) == ([1, 3], [6])
    assert (first.position, second.position) == (2, 3)
    assert second.epoch == first.epoch


async def test_sequences_of_other_ids_and_models_are_others() -> None:
    stage = Stage(version("m", 1), version("n", 1))
    await stage.start("a", 1)
    await stage.start("b", 10)
    await stage.start("a", 100, model="n")
    assert answer(await stage.feed("a", 1)) == [2]
    assert answer(await stage.feed("b", 1)) == [11]
    assert answer(await stage.feed("a", 1, model="n")) == [101]


async def test_a_start_without_an_id_is_given_one() -> None:
    stage = Stage()
    reply = await stage.start("", 1)
    assert len(reply.session_id) == 32
    assert answer(await stage.feed(reply.session_id, 1)) == [2]


async def test_an_initial_state_is_what_the_first_step_begins_with() -> None:
    stage = Stage()
    state = np.array([5, 0, 0], np.float32)
    assert answer(await stage.sessions.feed("m", "a", feed(steps(1), state=state, start=True))) == [6]
    await stage.sessions.feed("m", "b", feed(None, state=state, start=True))
    assert answer(await stage.feed("b", 1)) == [6]


async def test_a_state_is_in_the_reply_only_where_it_is_wanted() -> None:
    stage = Stage()
    shown = await stage.start("a", 1, want_state=True)
    hidden = await stage.feed("a", 1)
    assert shown.delivery is not None
    assert shown.delivery.state is not None
    assert shown.delivery.state.tolist() == [1, 2, 1]
    assert hidden.delivery is not None
    assert hidden.delivery.state is None


async def test_an_end_answers_and_then_the_sequence_is_unknown() -> None:
    stage = Stage()
    await stage.start("a", 1)
    assert answer(await stage.feed("a", 2, end=True)) == [3]
    with pytest.raises(errors.SequenceUnknown, match="never started, or has ended"):
        await stage.feed("a", 1)
    assert stage.versions.leases == {VersionKey("m", 1): 0}
    assert stage.sessions.list() == []


async def test_a_start_that_is_the_end_leaves_nothing() -> None:
    stage = Stage()
    assert answer(await stage.start("a", 1, 2, end=True)) == [1, 3]
    assert stage.sessions.list() == []
    assert stage.observer.events == ["started", "ended"]
    assert stage.versions.leases == {VersionKey("m", 1): 0}


async def test_an_empty_feed_opens_and_closes() -> None:
    stage = Stage()
    opened = await stage.start("a")
    assert (opened.position, opened.delivery) == (0, None)
    assert answer(await stage.feed("a", 1)) == [1]
    assert (await stage.feed("a", end=True)).position == 1
    assert stage.sessions.list() == []
    assert len(stage.engine.works) == 1


async def test_a_live_id_is_started_again_only_on_request() -> None:
    stage = Stage()
    await stage.start("a", 1)
    with pytest.raises(errors.SequenceExists, match="after 1 time steps"):
        await stage.start("a", 1)
    assert answer(await stage.start("a", 5, restart=True)) == [5]
    assert answer(await stage.feed("a", 1)) == [6]
    assert stage.observer.events == ["started", "restarted"]


# --- exactly once ---


async def test_a_repeated_feed_gets_the_same_answer_and_is_not_applied_again() -> None:
    stage = Stage()
    await stage.start("a", 1, position=0)
    first = await stage.feed("a", 2, position=1)
    again = await stage.feed("a", 2, position=1)
    assert (answer(again), again.position, again.repeated, first.repeated) == ([3], 2, True, False)
    assert answer(await stage.feed("a", 4, position=2)) == [7]


async def test_a_repeated_start_and_a_repeated_end_get_the_same_answer() -> None:
    stage = Stage()
    await stage.start("a", 1, position=0)
    assert (await stage.start("a", 1, position=0)).repeated
    last = await stage.feed("a", 2, position=1, end=True)
    again = await stage.feed("a", 2, position=1, end=True)
    assert (answer(again), again.repeated) == (answer(last), True)


@pytest.mark.parametrize(
    ("values", "asked"),
    [
        pytest.param((7,), {"position": 1}, id="other numbers at a position that is consumed"),
        pytest.param((2, 2), {"position": 1}, id="another length"),
        pytest.param((2,), {"position": 0}, id="an older position"),
        pytest.param((2,), {"position": 9}, id="a position that is still to come"),
    ],
)
async def test_a_feed_that_belongs_elsewhere_is_told_where_the_sequence_stands(
    values: tuple[int, ...], asked: dict[str, int]
) -> None:
    stage = Stage()
    await stage.start("a", 1, position=0)
    await stage.feed("a", 2, position=1)
    with pytest.raises(errors.SequencePosition, match=r"stands at position 2 .* feed on from 2") as refused:
        await stage.feed("a", *values, **asked)
    assert refused.value.metadata == {"position": "2", "epoch": stage.sessions.get("m", "a").epoch}
    assert answer(await stage.feed("a", 4)) == [7]


async def test_an_answer_that_is_too_large_to_remember_is_not_given_again() -> None:
    stage = Stage(one_reply_bytes=1_200)
    await stage.start("a", *range(100), position=0)
    with pytest.raises(errors.SequenceExists):
        await stage.start("a", *range(100), position=0)


async def test_all_remembered_answers_together_are_bounded() -> None:
    stage = Stage(reply_bytes=3_000)
    for name in "abc":
        await stage.start(name, position=0)
        await stage.feed(name, 1, position=0)
    with pytest.raises(errors.SequencePosition):
        await stage.feed("a", 1, position=0)
    assert (await stage.feed("c", 1, position=0)).repeated


# --- order, failure, cancellation ---


async def test_feeds_in_flight_are_applied_in_the_order_of_arrival() -> None:
    stage = Stage()
    await stage.start("a", 0)
    replies = await asyncio.gather(*(stage.feed("a", number) for number in range(1, 20)))
    assert [answer(reply)[0] for reply in replies] == np.cumsum(range(1, 20)).tolist()


async def test_feeds_that_arrive_before_the_start_is_done_wait_for_it() -> None:
    stage = Stage()
    replies = await asyncio.gather(stage.start("a", 1), stage.feed("a", 2, end=True), stage.start("a", 5), stage.feed("a", 1))
    assert [answer(reply) for reply in replies] == [[1], [3], [5], [6]]


async def test_a_feed_behind_a_start_that_fails_finds_nothing() -> None:
    stage = Stage()
    stage.engine.failures = [errors.Overloaded("full")]
    started, fed = await asyncio.gather(stage.start("a", 1), stage.feed("a", 2), return_exceptions=True)
    assert isinstance(started, errors.Overloaded)
    assert isinstance(fed, errors.SequenceUnknown)
    assert answer(await stage.start("a", 1)) == [1]


async def test_a_feed_that_fails_leaves_the_sequence_as_it_was() -> None:
    stage = Stage()
    await stage.start("a", 1)
    stage.engine.failures = [errors.InternalFailure("no")]
    with pytest.raises(errors.InternalFailure):
        await stage.feed("a", 2)
    with pytest.raises(errors.InvalidInput, match="wrong width"):
        await stage.sessions.feed("m", "a", feed(np.ones((1, 3), np.float32)))
    assert stage.sessions.get("m", "a").position == 1
    assert answer(await stage.feed("a", 4)) == [5]


async def test_a_restart_that_fails_leaves_the_sequence_as_it_was() -> None:
    stage = Stage()
    await stage.start("a", 1)
    stage.engine.failures = [errors.Overloaded("full")]
    with pytest.raises(errors.Overloaded):
        await stage.start("a", 9, restart=True)
    assert answer(await stage.feed("a", 1)) == [2]


async def test_a_cancelled_feed_leaves_the_sequence_and_its_queue_as_they_were() -> None:
    stage = Stage()
    await stage.start("a", 1)
    stage.engine.gate = asyncio.Event()
    running, waiting, last = (asyncio.create_task(stage.feed("a", value)) for value in (2, 4, 8))
    await asyncio.sleep(0.001)
    assert stage.sessions.get("m", "a").state == "active"
    running.cancel()
    waiting.cancel()
    await asyncio.sleep(0.001)
    stage.engine.gate.set()
    assert answer(await last) == [9]
    assert running.cancelled()
    assert waiting.cancelled()
    assert stage.sessions.get("m", "a").state == "idle"


async def test_a_cancel_at_the_moment_of_ones_turn_passes_the_turn_on() -> None:
    stage = Stage()
    await stage.start("a", 1)
    session = stage.sessions._live.find(("m", "a"))
    await stage.sessions._live.take(session)
    second = asyncio.create_task(stage.feed("a", 2))
    third = asyncio.create_task(stage.feed("a", 4))
    await asyncio.sleep(0)
    stage.sessions._live.give(session)  # the turn is the second's now,
    second.cancel()  # which never gets to use it
    assert answer(await third) == [5]
    with pytest.raises(asyncio.CancelledError):
        await second


# --- refusals ---


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        pytest.param(errors.UnknownModel, {"model": "nobody"}, id="a feed of an unknown model"),
        pytest.param(errors.UnknownModel, {"model": "nobody", "start": True}, id="a start of an unknown model"),
        pytest.param(errors.UnknownVersion, {"version": "7", "start": True}, id="a start on an unknown version"),
        pytest.param(errors.NotCausal, {"model": "both-ways", "start": True}, id="a model that looks ahead"),
        pytest.param(errors.SequenceUnknown, {}, id="never started"),
        pytest.param(errors.SequenceLost, {"epoch": "00000000"}, id="of a server that has ended"),
        pytest.param(errors.InvalidInput, {"start": True, "position": 3}, id="a start elsewhere than at 0"),
        pytest.param(errors.InvalidInput, {"state": np.zeros(3, np.float32)}, id="a state without a start"),
    ],
)
async def test_refusals_have_their_reasons_and_leave_nothing(error: type[errors.ServiceError], asked: dict[str, object]) -> None:
    stage = Stage(version("m", 1), version("both-ways", 1, causal=False))
    if "state" in asked:
        await stage.start("a", 1)
    with pytest.raises(error):
        await stage.feed("a", 1, **asked)
    assert len(stage.sessions.list()) == ("state" in asked)
    assert sum(stage.versions.leases.values()) == ("state" in asked)


@pytest.mark.parametrize("session_id", ["", "x" * 257])
async def test_an_id_must_be_one(session_id: str) -> None:
    with pytest.raises(errors.InvalidInput, match="1 to 256 characters"):
        await Stage().feed(session_id, 1)


@pytest.mark.parametrize("model", ["m", "x" * 5000])
@pytest.mark.parametrize("session_id", ["a", "x" * 5000])
async def test_a_refusal_is_short_whatever_was_asked_for(model: str, session_id: str) -> None:
    """It travels in headers, which clients take only up to a size."""
    sessions = Stage().sessions
    asked = (sessions.snapshot(model, session_id), sessions.close(model, session_id), sessions.fork(model, session_id, "b"))
    refused = await asyncio.gather(*asked, return_exceptions=True)
    with pytest.raises(errors.ServiceError) as got:
        sessions.get(model, session_id)
    for error in (*refused, got.value):
        assert isinstance(error, errors.ServiceError)
        assert len(str(error)) < 1000 or isinstance(error, errors.UnknownModel)  # those are the catalog's


async def test_a_feed_of_an_earlier_life_never_reaches_a_later_one() -> None:
    stage = Stage()
    earlier = await stage.start("a", 1)
    later = await stage.start("a", 10, restart=True)
    with pytest.raises(errors.SequenceLost):
        await stage.feed("a", 2, position=1, epoch=earlier.epoch)
    assert answer(await stage.feed("a", 2, position=1, epoch=later.epoch)) == [12]


async def test_a_current_epoch_is_accepted_and_an_old_one_is_told_as_lost() -> None:
    stage = Stage()
    epoch = (await stage.start("a", 1)).epoch
    assert answer(await stage.feed("a", 1, epoch=epoch)) == [2]
    with pytest.raises(errors.SequenceLost, match="started later") as lost:
        await stage.feed("a", 1, epoch="0badcafe")
    assert lost.value.metadata == {"epoch": epoch}
    assert stage.observer.events == ["started", "lost"]


# --- ends that nobody asked for ---


async def test_an_idle_sequence_expires_and_a_used_one_does_not() -> None:
    stage = Stage(idle_seconds=10)
    await stage.start("idle", 1)
    await stage.start("used", 1)
    stage.clock.advance(9)
    await stage.feed("used", 1)
    stage.clock.advance(1)
    with pytest.raises(errors.SequenceExpired, match="idle time-out"):
        await stage.feed("idle", 1)
    assert [info.session_id for info in stage.sessions.list()] == ["used"]
    assert stage.observer.events == ["started", "started", "expired"]


async def test_a_parked_sequence_expires_in_its_time_though_one_parked_before_it_was_looked_at_since(tmp_path: Path) -> None:
    stage = Stage(idle_seconds=10, memory_bytes=12, directory=tmp_path)  # one state
    await stage.start("a", 1)
    stage.clock.advance(1)
    await stage.start("b", 1)
    stage.clock.advance(5)
    await stage.sessions.snapshot("m", "a")
    await stage.start("c", 1)
    assert [info.state for info in stage.sessions.list()] == ["parked", "parked", "idle"]
    stage.clock.advance(6)
    assert [info.session_id for info in stage.sessions.list()] == ["a", "c"]
    assert stage.observer.events[-1] == "expired"
    await stage.sessions.stop()


async def test_a_sequence_is_its_own_key_for_an_alias_that_is_split() -> None:
    stage = Stage()
    await stage.start("a", 1)
    await stage.feed("a", 1)
    assert stage.versions.split_keys == ["a"]


async def test_a_models_own_time_out_goes_before_the_servers() -> None:
    stage = Stage(version("m", 1), version("n", 1), idle_seconds=10)
    stage.versions.settings = {"n": ModelSettings(session_idle_seconds=1), "m": ModelSettings(session_idle_seconds=0)}
    await stage.start("a", 1)
    await stage.start("a", 1, model="n")
    stage.clock.advance(1000)
    with pytest.raises(errors.SequenceExpired):
        await stage.feed("a", 1, model="n")
    assert answer(await stage.feed("a", 1)) == [2]


async def test_a_sequence_expires_at_the_age_limit_even_while_it_is_used() -> None:
    stage = Stage(max_age_seconds=10)
    await stage.start("old", 1)
    for _ in range(5):
        stage.clock.advance(1.9)
        await stage.feed("old", 1)
    await stage.start("young", 1)
    stage.clock.advance(0.6)
    with pytest.raises(errors.SequenceExpired, match="older than"):
        await stage.feed("old", 1)
    assert [info.session_id for info in stage.sessions.list()] == ["young"]


async def test_a_models_own_age_limit_goes_before_the_servers() -> None:
    stage = Stage(version("m", 1), version("n", 1), idle_seconds=0, max_age_seconds=10)
    stage.versions.settings = {"n": ModelSettings(session_max_age_seconds=20), "m": ModelSettings(session_max_age_seconds=0)}
    await stage.start("a", 1)
    await stage.start("a", 1, model="n")
    stage.clock.advance(19.9)
    assert len(stage.sessions.list()) == 2
    stage.clock.advance(0.1)
    assert [info.model for info in stage.sessions.list()] == ["m"]
    with pytest.raises(errors.SequenceExpired, match="older than"):
        await stage.feed("a", 1, model="n")


async def test_an_age_limit_that_comes_later_ends_a_sequence_at_its_next_feed() -> None:
    stage = Stage(idle_seconds=0)
    await stage.start("a", 1)
    stage.clock.advance(30)
    stage.versions.settings = {"m": ModelSettings(session_max_age_seconds=20)}
    with pytest.raises(errors.SequenceExpired, match="older than"):
        await stage.feed("a", 1)


async def test_an_active_sequence_expires_after_its_feed_and_not_before() -> None:
    stage = Stage(idle_seconds=5, max_age_seconds=10)
    await stage.start("a", 1)
    stage.engine.gate = asyncio.Event()
    running = asyncio.create_task(stage.feed("a", 1))
    await asyncio.sleep(0.001)
    stage.clock.advance(100)
    assert [info.state for info in stage.sessions.list()] == ["active"]
    stage.engine.gate.set()
    assert answer(await running) == [2]
    with pytest.raises(errors.SequenceExpired, match="older than"):
        await stage.feed("a", 1)


async def test_memory_is_freed_without_any_request() -> None:
    stage = Stage(idle_seconds=0.01)
    await stage.start("a", 1)
    stage.clock.advance(1)
    while stage.versions.leases[VersionKey("m", 1)]:
        await asyncio.sleep(0.05)
    assert stage.observer.events == ["started", "expired"]
    await stage.sessions.stop()


async def test_the_longest_idle_is_evicted_where_there_is_no_place() -> None:
    stage = Stage(max_sessions=2)
    for name in "ab":
        await stage.start(name, 1)
        stage.clock.advance(1)
    await stage.feed("a", 1)
    stage.clock.advance(1)
    await stage.start("c", 1)
    with pytest.raises(errors.SequenceEvicted, match="idle for longest"):
        await stage.feed("b", 1)
    assert answer(await stage.feed("a", 1)) == [3]


async def test_a_start_is_refused_while_every_place_is_in_use() -> None:
    stage = Stage(max_sessions=1)
    await stage.start("a", 1)
    stage.engine.gate = asyncio.Event()
    running = asyncio.create_task(stage.feed("a", 1))
    await asyncio.sleep(0.001)
    with pytest.raises(errors.Overloaded, match="all 1 sequences") as refused:
        await stage.start("b", 1)
    assert refused.value.retry_after_seconds
    stage.engine.gate.set()
    assert answer(await running) == [2]


async def test_without_a_folder_states_beyond_the_memory_are_evicted() -> None:
    stage = Stage(memory_bytes=2 * 12)
    for name in "abc":
        await stage.start(name, 1)
        stage.clock.advance(1)
    with pytest.raises(errors.SequenceEvicted):
        await stage.feed("a", 1)
    assert answer(await stage.feed("b", 1)) == [2]


async def test_a_start_that_finds_no_memory_costs_nobody_whose_state_is_on_disk_his_sequence(tmp_path: Path) -> None:
    """Evicting them would free no memory."""
    stage = Stage(memory_bytes=2 * 12, directory=tmp_path)
    for name in "abcd":
        await stage.start(name, 1)
        stage.clock.advance(1)
    stage.engine.gate = asyncio.Event()
    running = [asyncio.create_task(stage.feed(name, 1)) for name in "cd"]
    await asyncio.sleep(0.001)
    with pytest.raises(errors.Overloaded, match="fill the 24 bytes"):
        await stage.start("e", 1)
    stage.engine.gate.set()
    assert [answer(reply) for reply in await asyncio.gather(*running)] == [[2], [2]]
    assert [info.session_id for info in stage.sessions.list()] == ["a", "b", "c", "d"]
    assert answer(await stage.feed("a", 1)) == [2]
    await stage.sessions.stop()


async def test_tombstones_are_bounded_and_the_oldest_is_forgotten_first() -> None:
    stage = Stage(idle_seconds=1, max_tombstones=2)
    for name in "abc":
        await stage.start(name, 1)
        stage.clock.advance(0.1)
    stage.clock.advance(5)
    assert stage.sessions.list() == []
    with pytest.raises(errors.SequenceUnknown):
        await stage.feed("a", 1)
    for name in "bc":
        with pytest.raises(errors.SequenceExpired):
            await stage.feed(name, 1)
    assert len(stage.sessions._live.tombstones) == 2
    await stage.start("b", 1)
    assert len(stage.sessions._live.tombstones) == 1


# --- versions ---


async def test_a_sequence_stays_on_the_version_it_began_on() -> None:
    stage = Stage(version("m", 1))
    await stage.start("old", 1)
    stage.versions.add(version("m", 2))
    stage.versions.stable["m"] = 2
    assert (await stage.start("new", 1)).version.key.version == 2
    assert answer(await stage.feed("old", 1)) == [2]
    assert answer(await stage.feed("new", 1)) == [4]
    assert stage.versions.leases == {VersionKey("m", 1): 1, VersionKey("m", 2): 1}
    assert (await stage.start("old", 1, restart=True)).version.key.version == 2
    assert stage.versions.leases == {VersionKey("m", 1): 0, VersionKey("m", 2): 1}


async def test_sequences_of_a_version_on_its_way_out_have_the_drain_time() -> None:
    stage = Stage(drain_seconds=10)
    await stage.start("a", 1)
    stage.sessions.on_version(VersionStatus("m", 1, VersionState.UNLOADING))
    stage.clock.advance(9)
    assert answer(await stage.feed("a", 1)) == [2]
    stage.clock.advance(2)
    with pytest.raises(errors.VersionRetired, match="time to finish"):
        await stage.feed("a", 1)
    assert stage.versions.leases == {VersionKey("m", 1): 0}
    assert stage.observer.events == ["started", "retired"]


async def test_a_version_that_stays_after_all_keeps_its_sequences() -> None:
    stage = Stage(drain_seconds=10)
    await stage.start("a", 1)
    stage.sessions.on_version(VersionStatus("m", 1, VersionState.UNLOADING))
    stage.sessions.on_version(VersionStatus("m", 1, VersionState.READY))
    stage.clock.advance(100)
    assert answer(await stage.feed("a", 1)) == [2]


async def test_a_feed_under_way_when_the_drain_time_ends_is_answered() -> None:
    stage = Stage(drain_seconds=10)
    await stage.start("a", 1)
    stage.sessions.on_version(VersionStatus("m", 1, VersionState.UNLOADING))
    stage.engine.gate = asyncio.Event()
    running = asyncio.create_task(stage.feed("a", 1))
    await asyncio.sleep(0.001)
    stage.clock.advance(11)
    stage.engine.gate.set()
    assert answer(await running) == [2]
    with pytest.raises(errors.VersionRetired):
        await stage.feed("a", 1)


# --- looked at, copied, moved, closed ---


async def test_what_is_told_about_a_sequence() -> None:
    stage = Stage()
    await stage.start("a", 1, 2)
    stage.clock.advance(5)
    await stage.feed("a", 3)
    stage.clock.advance(2)
    info = stage.sessions.get("m", "a")
    assert (info.model, info.session_id, info.version, info.position, info.state) == ("m", "a", 1, 3, "idle")
    assert (info.age_seconds, info.idle_seconds, info.bytes) == (7, 2, 12)
    assert stage.sessions.list("m") == [info]
    assert stage.sessions.list("n") == []
    with pytest.raises(errors.SequenceUnknown):
        stage.sessions.get("m", "b")


async def test_a_fork_goes_its_own_way_from_the_same_place() -> None:
    stage = Stage()
    await stage.start("a", 1, 2)
    copy = await stage.sessions.fork("m", "a", "b")
    assert (copy.session_id, copy.position, copy.version) == ("b", 2, 1)
    assert answer(await stage.feed("b", 10, position=2)) == [13]
    assert answer(await stage.feed("a", 1, position=2)) == [4]
    with pytest.raises(errors.SequenceExists):
        await stage.sessions.fork("m", "a", "b")
    with pytest.raises(errors.SequenceUnknown):
        await stage.sessions.fork("m", "nobody", None)
    assert (await stage.sessions.fork("m", "a", None)).session_id not in ("a", "b")


async def test_two_that_fork_onto_each_other_do_not_wait_forever() -> None:
    stage = Stage()
    await stage.start("a", 1)
    await stage.start("b", 2)
    done = await asyncio.gather(stage.sessions.fork("m", "a", "b"), stage.sessions.fork("m", "b", "a"), return_exceptions=True)
    assert [type(error) for error in done] == [errors.SequenceExists] * 2


async def test_a_snapshot_is_taken_up_where_it_was_taken() -> None:
    stage = Stage()
    await stage.start("a", 1, 2)
    content = await stage.sessions.snapshot("m", "a")
    await stage.feed("a", 100)
    restored = await stage.sessions.restore("m", content, "b")
    assert (restored.position, restored.version) == (2, 1)
    assert answer(await stage.feed("b", 1, position=2)) == [4]
    with pytest.raises(errors.SequenceExists):
        await stage.sessions.restore("m", content, "a")
    await stage.sessions.restore("m", content, "a", restart=True)
    assert answer(await stage.feed("a", 1)) == [4]


async def test_a_snapshot_finds_its_weights_under_another_name_and_number() -> None:
    stage = Stage(version("m", 1, weights=1), version("moved", 5, weights=1))
    await stage.start("a", 1)
    content = await stage.sessions.snapshot("m", "a")
    assert (await stage.sessions.restore("moved", content, None)).version == 5


async def test_no_snapshot_begins_a_sequence_of_a_model_that_looks_ahead() -> None:
    """No server makes one: it is forged, or the model was another one."""
    stage = Stage(version("m", 1), version("ahead", 1, causal=False))
    await stage.start("a", 1)
    taken = await stage.sessions.snapshot("m", "a")
    with pytest.raises(errors.NotCausal):
        await stage.sessions.restore("ahead", taken, "b")
    assert [info.session_id for info in stage.sessions.list()] == ["a"]
    assert stage.versions.leases[VersionKey("ahead", 1)] == 0


async def test_a_snapshot_of_other_weights_is_refused() -> None:
    stage = Stage(version("m", 1), version("n", 1, weights=2))
    await stage.start("a", 1)
    content = await stage.sessions.snapshot("m", "a")
    with pytest.raises(errors.WrongWeights, match="m/1 with the weights sha256"):
        await stage.sessions.restore("n", content, "a")
    assert stage.versions.leases == {VersionKey("m", 1): 1, VersionKey("n", 1): 0}


async def test_close_ends_a_sequence_after_the_feeds_before_it() -> None:
    stage = Stage()
    await stage.start("a", 1)
    fed, closed, after = await asyncio.gather(
        stage.feed("a", 2), stage.sessions.close("m", "a"), stage.feed("a", 4), return_exceptions=True
    )
    assert closed is None
    assert answer(fed) == [3]  # type: ignore[arg-type]
    assert isinstance(after, errors.SequenceUnknown)
    with pytest.raises(errors.SequenceUnknown):
        await stage.sessions.close("m", "a")


async def test_counts_and_step_times_reach_the_observer() -> None:
    stage = Stage()
    await stage.start("a", 1)
    await stage.feed("a", 1)
    assert [(count.version, count.active, count.idle, count.parked) for count in stage.sessions.counts()] == [(("m", 1), 0, 1, 0)]
    assert len(stage.observer.steps) == 2
