"""Sequences over the end of their server: a graceful one, a crash, and folders that are not what they should be."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from cellserve.service import errors
from cellserve.service.durable_every import DurableEvery
from cellserve.service.engine.facts import VersionKey
from tests.service.sessions.fakes import LAYOUT, Stage, answer, version

MakeStage = Callable[..., Stage]


@pytest.fixture
async def make_stage(tmp_path: Path) -> AsyncIterator[MakeStage]:
    """Stages with a folder, whose last sessions are stopped at the end."""
    made: list[Stage] = []

    def make(every: str = "", **settings: object) -> Stage:
        made.append(Stage(directory=tmp_path / "kept", durable_every=DurableEvery.parse(every), **settings))
        return made[-1]

    yield make
    for stage in made:
        await stage.sessions.stop()


async def _restart(stage: Stage) -> None:
    await stage.sessions.stop()
    await stage.again().start()


async def _crash(stage: Stage) -> None:
    """The process is gone: nothing more is written, and the system lets go of the folder."""
    durability = stage.sessions._durability
    if durability._writing is not None:
        await durability._writing
    if durability._timer is not None:
        durability._timer.cancel()
    if durability._store is not None:
        durability._store.close()
    stage.versions.leases = dict.fromkeys(stage.versions.leases, 0)
    await stage.again().start()


async def test_a_graceful_end_keeps_every_sequence(make_stage: MakeStage) -> None:
    stage = make_stage()
    await stage.sessions.start()
    first = await stage.start("a", 1, 2)
    await stage.start("b", 10)
    await stage.start("over", 1, end=True)
    await _restart(stage)
    assert sorted((info.session_id, info.position) for info in stage.sessions.list()) == [("a", 2), ("b", 1)]
    with pytest.raises(errors.SequencePosition):
        await stage.feed("a", 4, position=1, epoch=first.epoch)
    reply = await stage.feed("a", 4, position=2, epoch=first.epoch)
    assert answer(reply) == [7]
    assert reply.epoch != first.epoch
    assert answer(await stage.feed("b", 1)) == [11]
    assert answer(await stage.feed("a", 1, epoch=reply.epoch)) == [8]
    assert stage.versions.leases == {VersionKey("m", 1): 1}
    assert stage.observer.events.count("restored") == 2
    await stage.sessions.stop()
    assert stage.versions.leases == {VersionKey("m", 1): 0}


async def test_an_epoch_of_two_servers_ago_is_still_known(make_stage: MakeStage) -> None:
    stage = make_stage()
    await stage.sessions.start()
    first = await stage.start("a", 1)
    for _ in range(3):
        await _restart(stage)
    assert answer(await stage.feed("a", 1, position=1, epoch=first.epoch)) == [2]


async def test_the_time_without_a_server_makes_nobody_idle(make_stage: MakeStage) -> None:
    wall_seconds = [1e9]
    stage = make_stage(idle_seconds=100)
    stage.sessions._durability._wall_clock = lambda: wall_seconds[0]
    await stage.sessions.start()
    await stage.start("a", 1)
    stage.clock.advance(60)
    await stage.start("b", 1)
    await stage.sessions.stop()
    stage.clock.now_seconds = 5.0  # another process
    await stage.again().start()
    info = stage.sessions.get("m", "a")
    assert (info.idle_seconds, info.age_seconds) == (60, 60)
    stage.clock.advance(50)
    assert [info.session_id for info in stage.sessions.list()] == ["b"]


async def test_without_durable_every_a_crash_loses_what_was_live(make_stage: MakeStage) -> None:
    stage = make_stage()
    await stage.sessions.start()
    await stage.start("a", 1)
    await _restart(stage)
    epoch = (await stage.feed("a", 1)).epoch
    await _crash(stage)
    with pytest.raises(errors.SequenceLost, match="was not restored"):
        await stage.feed("a", 1, epoch=epoch)
    with pytest.raises(errors.SequenceUnknown):
        await stage.feed("a", 1)


async def test_after_a_crash_a_client_is_told_the_last_durable_position(make_stage: MakeStage) -> None:
    stage = make_stage("2")
    await stage.sessions.start()
    await stage.start("a", 1)
    await stage.feed("a", 2)  # written after this one,
    await _crash_after_losing_a_feed(stage)
    with pytest.raises(errors.SequencePosition, match="stands at position 2") as told:
        await stage.feed("a", 8, position=3)
    assert told.value.metadata["position"] == "2"
    assert answer(await stage.feed("a", 4, position=2, epoch=told.value.metadata["epoch"])) == [7]
    assert answer(await stage.feed("a", 8)) == [15]


async def _crash_after_losing_a_feed(stage: Stage) -> None:
    writing = stage.sessions._durability._writing
    assert writing is not None
    await writing
    assert answer(await stage.feed("a", 4)) == [7]  # and this one is lost
    await _crash(stage)


@pytest.mark.parametrize(
    ("position", "epoch", "accepted"),
    [
        pytest.param(None, None, False, id="a feed that shows nothing"),
        pytest.param(2, None, False, id="a position, but of which life?"),
        pytest.param(None, "old", False, id="the life, but where?"),
        pytest.param(2, "old", True, id="both, as its client last heard"),
        pytest.param(None, "new", True, id="what only this server can have told"),
    ],
)
async def test_after_a_crash_a_feed_must_show_that_it_belongs(
    make_stage: MakeStage, position: int | None, epoch: str | None, accepted: bool
) -> None:
    stage = make_stage("2")
    await stage.sessions.start()
    await stage.start("a", 1)
    old = (await stage.feed("a", 2)).epoch
    await _crash(stage)
    epochs = {"old": old, "new": stage.sessions.get("m", "a").epoch, None: None}
    if accepted:
        assert answer(await stage.feed("a", 4, position=position, epoch=epochs[epoch])) == [7]
        assert answer(await stage.feed("a", 1)) == [8]
    else:
        with pytest.raises(errors.SequencePosition, match="ended unexpectedly"):
            await stage.feed("a", 4, position=position, epoch=epochs[epoch])


async def test_a_later_life_that_the_crash_took_is_not_mistaken_for_the_one_on_disk(make_stage: MakeStage) -> None:
    stage = make_stage("2")
    await stage.sessions.start()
    await stage.start("a", 1)
    await stage.feed("a", 2)
    writing = stage.sessions._durability._writing
    assert writing is not None
    await writing
    later = await stage.start("a", 50, 60, restart=True)  # also two steps
    await _crash(stage)
    with pytest.raises(errors.SequenceLost):
        await stage.feed("a", 1, position=2, epoch=later.epoch)


async def test_ends_are_durable_too(make_stage: MakeStage) -> None:
    stage = make_stage("1")
    await stage.sessions.start()
    await stage.start("a", 1)
    await stage.start("b", 1)
    await stage.feed("a", end=True)
    await _crash(stage)
    assert [info.session_id for info in stage.sessions.list()] == ["b"]


async def test_every_so_many_seconds_is_often_enough(make_stage: MakeStage, tmp_path: Path) -> None:
    stage = make_stage("0.01s")
    await stage.sessions.start()
    await stage.start("a", 1)
    while (tmp_path / "kept" / "manifest.json").read_text().count("sha256") < 2:  # in the digest of the weights and the file's
        await asyncio.sleep(0.01)
    await _crash(stage)
    assert stage.sessions.get("m", "a").position == 1


async def test_what_is_out_of_date_on_disk_is_cleared_away(
    make_stage: MakeStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cellserve.service.sessions.durability.durability._OUTDATED", 5)
    stage = make_stage("1")
    await stage.sessions.start()
    await stage.start("a", 0)
    for _ in range(40):
        await stage.feed("a", 1)
        writing = stage.sessions._durability._writing
        assert writing is not None
        await writing
    assert len(list((tmp_path / "kept").glob("*.safetensors"))) < 10
    await _crash(stage)
    assert stage.sessions.get("m", "a").position == 41


async def test_sequences_of_other_weights_are_not_restored(make_stage: MakeStage, caplog: pytest.LogCaptureFixture) -> None:
    stage = make_stage()
    await stage.sessions.start()
    await stage.start("a", 1)
    await stage.sessions.stop()
    stage.versions.add(version("m", 1, weights=99))
    await stage.again().start()
    with pytest.raises(errors.VersionRetired, match="not in the repository any more"):
        await stage.feed("a", 1)
    assert "they are of other weights" in caplog.text
    assert stage.versions.leases == {VersionKey("m", 1): 0}


async def test_sequences_of_a_version_that_is_gone_are_not_restored(
    make_stage: MakeStage, caplog: pytest.LogCaptureFixture
) -> None:
    stage = make_stage()
    await stage.sessions.start()
    await stage.start("a", 1)
    await stage.sessions.stop()
    del stage.versions.loaded[VersionKey("m", 1)]
    await stage.again().start()
    assert "m/1 are not restored" in caplog.text
    with pytest.raises(errors.VersionRetired):
        await stage.feed("a", 1)


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "manifest", "another manifest"])
async def test_damaged_files_are_refused_and_the_server_starts(
    make_stage: MakeStage, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    stage = make_stage()
    await stage.sessions.start()
    await stage.start("a", 1)
    await stage.sessions.stop()
    manifest = tmp_path / "kept" / "manifest.json"
    (segment,) = (tmp_path / "kept").glob("*.safetensors")
    content = segment.read_bytes()
    if damage == "cut":
        segment.write_bytes(content[:-1])
    elif damage == "flipped":
        segment.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "gone":
        segment.unlink()
    elif damage == "manifest":
        manifest.write_text("{")
    else:
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"schema_version": 2}))
    with caplog.at_level(logging.ERROR):
        await stage.again().start()
    assert "restored" in caplog.text
    assert stage.sessions.list() == []
    assert answer(await stage.start("a", 5)) == [5]
    await _restart(stage)
    assert answer(await stage.feed("a", 1)) == [6]


async def test_a_folder_belongs_to_one_server_at_a_time(make_stage: MakeStage, caplog: pytest.LogCaptureFixture) -> None:
    stage, other = make_stage("1"), make_stage("1")
    await stage.sessions.start()
    await other.sessions.start()
    assert "another server keeps its sequences" in caplog.text
    await stage.start("a", 1)
    await other.start("b", 1)
    await stage.sessions.stop()
    await other.sessions.stop()
    await stage.again().start()
    assert [info.session_id for info in stage.sessions.list()] == ["a"]


async def test_a_server_without_sequences_leaves_no_folder(make_stage: MakeStage, tmp_path: Path) -> None:
    stage = make_stage()
    await stage.sessions.start()
    await stage.sessions.stop()
    assert not (tmp_path / "kept").exists()


# --- parked ---


async def test_the_coldest_states_go_to_disk_and_come_back(make_stage: MakeStage) -> None:
    stage = make_stage(memory_bytes=3 * LAYOUT.width * 4)
    for name in "abcde":
        await stage.start(name, ord(name))
        stage.clock.advance(1)
    assert [(info.session_id, info.state) for info in stage.sessions.list()] == [
        ("a", "parked"),
        ("b", "parked"),
        ("c", "idle"),
        ("d", "idle"),
        ("e", "idle"),
    ]
    for name in "abcde":
        assert answer(await stage.feed(name, 1)) == [ord(name) + 1]
    assert stage.observer.events.count("parked") == stage.observer.events.count("unparked") + 2
    assert stage.sessions._live.pins.bytes <= stage.settings.memory_bytes


async def test_parked_states_are_looked_at_where_they_are_and_kept(make_stage: MakeStage) -> None:
    stage = make_stage(memory_bytes=LAYOUT.width * 4)
    await stage.sessions.start()
    await stage.start("a", 1)
    await stage.start("b", 10)
    content = await stage.sessions.snapshot("m", "a")
    assert stage.sessions.get("m", "a").state == "parked"
    await stage.sessions.restore("m", content, "c")
    await _restart(stage)
    for name, expected in (("a", 2), ("b", 11), ("c", 2)):
        assert answer(await stage.feed(name, 1)) == [expected]


async def test_parked_sequences_expire_and_end_like_others(make_stage: MakeStage) -> None:
    stage = make_stage(memory_bytes=LAYOUT.width * 4, idle_seconds=10)
    await stage.start("a", 1)
    await stage.start("b", 1)
    await stage.start("c", 1)
    await stage.sessions.close("m", "b")
    stage.clock.advance(10)
    with pytest.raises(errors.SequenceExpired):
        await stage.feed("a", 1)
    assert stage.sessions.list() == []
    assert stage.versions.leases == {VersionKey("m", 1): 0}


async def test_a_sequence_that_is_fed_while_it_is_being_parked_stays_in_memory(make_stage: MakeStage) -> None:
    stage = make_stage(memory_bytes=2 * LAYOUT.width * 4)
    await stage.start("a", 1)
    await stage.start("b", 10)
    started, fed = await asyncio.gather(stage.start("c", 100), stage.feed("a", 2))
    assert (answer(started), answer(fed)) == ([100], [3])
    assert [(info.session_id, info.state) for info in stage.sessions.list()] == [("a", "idle"), ("b", "parked"), ("c", "idle")]
    for name, expected in (("a", 4), ("b", 11), ("c", 101)):
        assert answer(await stage.feed(name, 1)) == [expected]


async def test_a_disk_that_cannot_park_evicts(make_stage: MakeStage, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "kept").write_text("a file where a folder should be")
    stage = make_stage(memory_bytes=LAYOUT.width * 4)
    await stage.start("a", 1)
    await stage.start("b", 1)
    assert "evicted instead" in caplog.text
    with pytest.raises(errors.SequenceEvicted):
        await stage.feed("a", 1)
