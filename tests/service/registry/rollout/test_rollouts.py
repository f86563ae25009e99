"""Gradual promotes on a real repository, by a clock that the test moves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import InvalidInput, RepositoryError, UnknownModel
from cellserve.service.registry.policy.rollout import Rollout
from cellserve.service.registry.policy.split import meaning_of
from cellserve.service.registry.repository.repository import Repository
from cellserve.service.registry.rollout.rollouts import Rollouts
from tests.service.registry.fakes import imported, repository

OLD, NEW = VersionKey("digits", 1), VersionKey("digits", 2)


@dataclass
class End:
    """How a request ended."""

    version: VersionKey | None
    reason: str | None = None
    seconds: float = 0.01


class FakeAliases:
    """The aliases of a repository, without a catalog that loads."""

    def __init__(self, store: Repository) -> None:
        self.store = store
        self.failures: dict[VersionKey, str] = {}
        self.trouble: Exception | None = None  # what the next move raises
        self.brought_in: list[VersionKey] = []
        self.loading = asyncio.Event()  # set: loading is over
        self.loading.set()

    def models(self) -> list[str]:
        return self.store.models()

    def split_models(self) -> list[str]:
        return [model for model in self.store.models() if self.store.alias_table(model).splits]

    def meaning(self, model: str, alias: str) -> Mapping[int, float]:
        return meaning_of(alias, *self.store.alias_table(model))

    async def bring_in(self, key: VersionKey) -> None:
        self.brought_in.append(key)
        await self.loading.wait()

    def failure(self, key: VersionKey) -> str:
        return self.failures.get(key, "")

    async def walk_alias(
        self,
        model: str,
        alias: str,
        before: Mapping[int, float],
        after: Mapping[int, float],
        version: int,
        by: str,
        why: str,
    ) -> bool:
        trouble, self.trouble = self.trouble, None
        if trouble is not None:
            raise trouble
        assert version in after
        return self.store.walk_alias(model, alias, before, after, by, why)


class House:
    """`digits` has the versions 1 (stable), 2 and 3; and a server that walks its aliases, and may be started again."""

    def __init__(self, root: Path) -> None:
        self.store = repository(root)
        for _ in range(3):
            self.store.publish("digits", imported())
        self.store.set_alias("digits", "stable", 1)
        self.now = 1000.0
        self.steps: list[tuple[str, float]] = []
        self.aliases = FakeAliases(self.store)
        self.rollouts = self.server()

    def server(self) -> Rollouts:
        def changed(model: str, rollout: Rollout) -> None:
            self.steps.append((rollout.state, rollout.share))

        return Rollouts(self.store, self.aliases, lambda: self.now, changed)

    async def begin(self, stop_if: str = "", seconds: float = 600.0) -> Rollout:
        return await self.rollouts.begin("digits", "stable", 2, seconds, stop_if, "ann")

    async def pass_time(self, seconds: float) -> Rollout:
        """As the server ticks, every five seconds here; gives what became of it."""
        while seconds > 0:
            self.now += min(seconds, 5.0)
            seconds -= 5.0
            await self.rollouts.tick()
        return await self.shown()

    async def shown(self) -> Rollout:
        (rollout,) = await self.rollouts.of("digits")
        return rollout

    def answers(self, key: VersionKey, count: int, reason: str | None = None, seconds: float = 0.01) -> None:
        for _ in range(count):
            self.rollouts.on_request(End(key, reason, seconds))

    def write(self, rollout: Rollout) -> None:
        """While no server walks."""
        with self.store.walker("digits") as write:
            assert write is not None
            write(rollout)

    @property
    def meaning(self) -> Mapping[int, float]:
        return self.aliases.meaning("digits", "stable")

    def moves(self) -> list[tuple[int | None, Mapping[int, float], str, str]]:
        return [(move.after, move.split, move.by, move.why) for move in self.store.alias_trail("digits").moves[1:]]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    yield house
    await house.rollouts.stop()


async def test_an_alias_walks_to_its_version_and_each_step_is_in_its_history(house: House) -> None:
    begun = await house.begin()
    assert (begun.state, begun.share, begun.before) == ("walking", 0.01, 1)
    assert house.meaning == {2: 0.01, 1: 0.99}
    await house.pass_time(599.0)
    assert (await house.shown()).walked_seconds == pytest.approx(599)
    assert house.meaning == {2: 0.75, 1: 0.25}
    ended = await house.pass_time(1.0)
    assert (ended.state, ended.reason) == ("promoted", "")
    assert house.meaning == {2: 1.0}
    shares = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75]
    assert house.steps == [*(("walking", share) for share in shares), ("promoted", 1.0)]
    assert [split.get(2) for _, split, _, _ in house.moves()] == [*shares, None]
    assert house.moves()[1] == (1, {2: 0.05, 1: 0.95}, "ann", "gradually, 100s of 10m")
    assert house.rollouts.progress() == []


async def test_a_broken_bound_sends_it_back_at_once_and_says_why(house: House, caplog: pytest.LogCaptureFixture) -> None:
    await house.begin("errors > 1%, p99 > 2x")
    house.answers(OLD, 500)
    house.answers(NEW, 30)
    assert (await house.pass_time(150.0)).share == 0.05
    house.answers(NEW, 3, "INTERNAL")
    with caplog.at_level(logging.ERROR):
        ended = await house.pass_time(0.5)
    assert (ended.state, ended.share, ended.reason) == ("rolled_back", 0.05, "errors > 1%: 3 of 3 requests failed")
    assert house.meaning == {1: 1.0}
    assert house.moves()[-1] == (1, {}, "the server", "rolled back: errors > 1%: 3 of 3 requests failed")
    assert "errors > 1%: 3 of 3 requests failed" in caplog.text
    assert "33 requests, 3 failed" in ended.seen
    house.answers(NEW, 3, "INTERNAL")  # which nobody counts any more
    assert (await house.pass_time(700.0)).state == "rolled_back"


@pytest.mark.parametrize(
    ("stop_if", "reason"),
    [("p99 > 2x", "p99 > 2x: 30 ms"), ("p50 > 20ms", "p50 > 20ms: 30"), ("difference > 1e-3", "differ by 0.5")],
)
async def test_slow_and_other_answers_send_it_back(house: House, stop_if: str, reason: str) -> None:
    await house.begin(stop_if)
    house.answers(OLD, 300)
    house.answers(NEW, 300, seconds=0.03)
    assert house.rollouts.compares(NEW) == (OLD if "difference" in stop_if else None)
    assert house.rollouts.compares(OLD) == (NEW if "difference" in stop_if else None)
    house.rollouts.on_compared(NEW, OLD, 0.5)
    ended = await house.pass_time(0.5)
    assert ended.state == "rolled_back"
    assert reason in ended.reason


async def test_time_in_which_the_server_could_not_look_does_not_count(house: House) -> None:
    """A machine that slept, or was far too busy: no share is passed over unseen."""
    await house.begin()
    house.now += 5000.0
    await house.rollouts.tick()
    assert ((await house.shown()).walked_seconds, house.meaning) == (5.0, {2: 0.01, 1: 0.99})


async def test_what_is_no_versions_fault_does_not_count(house: House) -> None:
    await house.begin("errors > 1%")
    for reason in ("CANCELLED", "OVERLOADED", "DRAINING", "SEQUENCE_UNKNOWN"):
        house.answers(NEW, 50, reason)
    house.rollouts.on_request(End(None, "INTERNAL"))
    house.rollouts.on_request(End(VersionKey("digits", 3), "INTERNAL"))
    assert "0 requests of 2" in (await house.pass_time(0.5)).seen
    assert house.meaning == {2: 0.01, 1: 0.99}


async def test_the_last_step_waits_until_the_bounds_could_be_judged(house: House) -> None:
    await house.begin("errors > 1%")
    waiting = await house.pass_time(700.0)
    assert (waiting.state, waiting.share) == ("walking", 0.75)
    assert waiting.reason == "waits for evidence, errors > 1%: 0 of 100 requests that the new version has answered"
    assert house.rollouts.progress() == [("digits", "stable", 1.0)]
    house.answers(NEW, 100)
    assert (await house.pass_time(0.5)).state == "promoted"


async def test_a_version_that_cannot_be_served_any_more_is_left(house: House) -> None:
    await house.begin()
    house.aliases.failures[NEW] = "its weights are damaged"
    ended = await house.pass_time(0.5)
    assert (ended.state, ended.reason) == ("rolled_back", "it cannot be served: its weights are damaged")


async def test_whoever_moves_the_alias_ends_the_walk(house: House) -> None:
    await house.begin("errors > 1%")
    house.store.set_alias("digits", "stable", 3)
    house.answers(NEW, 50, "INTERNAL")
    ended = await house.pass_time(0.5)
    assert (ended.state, ended.reason) == ("ended", "the alias was moved meanwhile: 100% to 3")
    assert house.meaning == {3: 1.0}


async def test_a_move_at_the_very_moment_of_a_step_is_not_undone(house: House) -> None:
    await house.begin()
    moved = house.aliases.walk_alias

    async def walk_alias(*arguments: object) -> bool:
        house.store.set_alias("digits", "stable", 3)
        return await moved(*arguments)  # type: ignore[arg-type]

    house.aliases.walk_alias = walk_alias  # type: ignore[method-assign]
    assert (await house.pass_time(100.0)).state == "ended"
    assert house.meaning == {3: 1.0}


async def test_what_cannot_be_written_is_tried_again(house: House, caplog: pytest.LogCaptureFixture) -> None:
    await house.begin("errors > 1%")
    house.answers(NEW, 50, "INTERNAL")
    house.aliases.trouble = RepositoryError("the disk is full")
    assert (await house.pass_time(0.5)).state == "walking"
    assert "the disk is full" in caplog.text
    assert (await house.pass_time(0.5)).state == "rolled_back"


async def test_the_next_start_goes_on_and_time_without_a_server_does_not_count(house: House) -> None:
    await house.begin()
    await house.pass_time(250.0)
    await house.rollouts.stop()
    house.now += 100_000
    house.rollouts = house.server()
    await house.rollouts.start()
    assert (await house.shown()).walked_seconds == pytest.approx(250.0)
    assert (await house.pass_time(49.0)).share == 0.1
    assert (await house.pass_time(1.0)).share == 0.25
    assert (await house.pass_time(300.0)).state == "promoted"


async def test_after_a_kill_a_start_knows_where_the_alias_stands(house: House) -> None:
    """Each step's record is lost: the alias alone tells."""
    await house.begin()
    await house.pass_time(110.0)
    record = await house.shown()
    for meaning, state in (({2: 0.1, 1: 0.9}, "walking"), ({1: 1.0}, "rolled_back"), ({2: 1.0}, "promoted"), ({3: 1.0}, "ended")):
        await house.rollouts.stop()
        house.write(record)
        assert house.store.walk_alias("digits", "stable", house.meaning, meaning, "", "")
        house.rollouts = house.server()
        await house.rollouts.start()
        assert (await house.shown()).state == state
        assert house.meaning == meaning


async def test_two_servers_on_one_repository_do_not_walk_one_alias(house: House) -> None:
    await house.begin()
    other = house.server()
    await other.start()
    assert other.progress() == []
    house.store.set_alias("digits", "canary", 1)
    with pytest.raises(InvalidInput, match="another server walks"):
        await other.begin("digits", "canary", 2, 600.0, "", "bob")
    await house.rollouts.stop()
    house.now += 5.0
    await other.tick()
    assert [alias for _, alias, _ in other.progress()] == ["stable"]
    await other.stop()


async def test_how_far_it_has_walked_is_written_down_while_it_walks(house: House) -> None:
    await house.begin("difference > 1e-3")
    house.rollouts.on_compared(NEW, OLD, 1e-6)
    await house.pass_time(50.0)
    recorded = house.store.rollouts("digits")["stable"]
    assert recorded.walked_seconds == pytest.approx(50.0)
    assert "1 compared, largest difference 1e-06" in recorded.seen


async def test_answers_that_cannot_be_compared_break_a_bound_on_their_difference(house: House) -> None:
    await house.begin("difference > 1e-3")
    house.rollouts.on_compared(NEW, OLD, None)
    ended = await house.pass_time(0.5)
    words = "difference > 0.001: the versions take other inputs or answer in other shapes"
    assert (ended.state, ended.reason) == ("rolled_back", words)


@pytest.mark.parametrize(
    ("alias", "version", "seconds", "stop_if", "words"),
    [
        ("canary", 2, 600.0, "", "no alias 'canary' to walk"),
        ("split", 2, 600.0, "", "digits@split is split, 50% to 3, 50% to 1; promote"),
        ("stable", 1, 600.0, "", "means version 1 already"),
        ("stable", 2, 0.0, "", "takes some time, not 0 seconds"),
        ("stable", 2, float("nan"), "", "takes some time"),
        ("stable", 2, float("inf"), "", "takes some time"),
        ("stable", 2, 600.0, "errors > many", "expected a percentage"),
    ],
)
async def test_what_cannot_walk_is_told(house: House, alias: str, version: int, seconds: float, stop_if: str, words: str) -> None:
    house.store.set_alias("digits", "split", 1)
    house.store.split_alias("digits", "split", 3, 0.5)
    with pytest.raises(InvalidInput) as caught:
        await house.rollouts.begin("digits", alias, version, seconds, stop_if, "ann")
    assert words in str(caught.value)
    assert house.rollouts.progress() == []


async def test_a_model_that_is_unknown_is(house: House) -> None:
    with pytest.raises(UnknownModel):
        await house.rollouts.begin("../digits", "stable", 2, 600.0, "", "ann")


async def test_while_a_version_is_loaded_for_one_alias_another_can_go_back(house: House) -> None:
    await house.begin("errors > 1%")
    house.store.set_alias("digits", "canary", 1)
    house.aliases.loading.clear()
    second = asyncio.create_task(house.rollouts.begin("digits", "canary", 3, 600.0, "", "bob"))
    while house.aliases.brought_in != [NEW, VersionKey("digits", 3)]:
        await asyncio.sleep(0)
    house.answers(NEW, 50, "INTERNAL")
    await house.rollouts.tick()
    assert house.meaning == {1: 1.0}
    house.aliases.loading.set()
    assert (await second).share == 0.01


async def test_a_damaged_record_stops_no_start_and_is_told_once(house: House, caplog: pytest.LogCaptureFixture) -> None:
    begun = await house.begin()
    await house.rollouts.stop()
    house.write(begun.model_copy(update={"stop_if": "errors > many"}))
    house.rollouts = house.server()
    await house.rollouts.start()
    await house.pass_time(20.0)
    assert caplog.text.count("digits@stable stays as it is, for it cannot walk on") == 1
    assert house.meaning == {2: 0.01, 1: 0.99}
    (house.store.root / "digits/.rollouts.json").write_text("{")
    assert await house.rollouts.of("digits") == []


async def test_an_alias_walks_to_one_version_at_a_time(house: House) -> None:
    await house.begin()
    with pytest.raises(InvalidInput, match="walks already, from 1 to 2: 1%"):
        await house.rollouts.begin("digits", "stable", 3, 600.0, "", "bob")


async def test_a_walk_that_cannot_begin_leaves_nothing(house: House) -> None:
    house.aliases.trouble = RepositoryError("the disk is full")
    with pytest.raises(RepositoryError):
        await house.begin()
    assert house.rollouts.progress() == []
    assert (await house.shown()).reason == "it could not begin: the disk is full"
    assert (await house.begin()).share == 0.01
