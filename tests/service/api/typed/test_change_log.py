"""What watchers are told: first what is, then what changes, and after a break only what came meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from cellserve.service.api.typed import change_log
from cellserve.service.api.typed.change_log import ChangeLog, Told
from cellserve.service.registry.status import AliasStatus, VersionState, VersionStatus


def version(number: int, state: VersionState = VersionState.READY, model: str = "digits") -> VersionStatus:
    return VersionStatus(model, number, state)


def alias(number: int) -> AliasStatus:
    return AliasStatus("digits", "stable", number, number)


async def taken(watcher: AsyncIterator[Told], count: int) -> list[Told]:
    return [await asyncio.wait_for(anext(watcher), 60) for _ in range(count)]


def names(told: list[Told]) -> list[object]:
    return ["void" if each.void else "current" if each.change is None else each.change.name for each in told]


async def test_first_what_is_then_what_changes() -> None:
    log = ChangeLog()
    log.update([version(1)], [alias(1)])
    watcher = log.watch()
    assert names(await taken(watcher, 3)) == [("digits", 1), ("digits", "stable"), "current"]
    log.update([version(1), version(2, VersionState.LOADING)], [alias(1)])
    log.update([version(1), version(2)], [alias(2)])
    log.update([version(2)], [alias(2)])
    told = await taken(watcher, 4)
    assert names(told) == [("digits", 2), ("digits", 2), ("digits", "stable"), ("digits", 1)]
    assert told[-1].change is not None
    assert told[-1].change.state is None


async def test_with_the_token_only_what_came_after_it() -> None:
    log = ChangeLog()
    log.update([version(1)], [])
    (_, current) = await taken(log.watch(), 2)
    log.update([version(1), version(2)], [])
    log.update([version(1), version(2), version(3)], [])
    second, _ = await taken(log.watch(token=current.token), 2)
    assert names(await taken(log.watch(token=second.token), 1)) == [("digits", 3)]


async def test_what_is_not_remembered_begins_again(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(change_log, "_REMEMBERED", 3)
    log = ChangeLog()
    log.update([version(1)], [])
    (_, current) = await taken(log.watch(), 2)
    for number in range(2, 7):
        log.update([version(each) for each in range(1, number + 1)], [])
    assert names(await taken(log.watch(token=current.token), 8)) == ["void", *(("digits", n) for n in range(1, 7)), "current"]
    for token in ("elsewhere-3", "nonsense", "-", current.token.replace("-1", "-99")):
        assert names(await taken(log.watch(token=token), 1)) == ["void"]


async def test_a_watcher_that_is_too_slow_begins_again(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(change_log, "_REMEMBERED", 3)
    log = ChangeLog()
    log.update([version(1)], [])
    watcher = log.watch()
    await taken(watcher, 2)
    for number in range(2, 7):
        log.update([version(number)], [])
    assert names(await taken(watcher, 3)) == ["void", ("digits", 6), "current"]


async def test_of_one_model_alone() -> None:
    log = ChangeLog()
    log.update([version(1), version(1, model="speech")], [])
    watcher = log.watch("speech")
    assert names(await taken(watcher, 2)) == [("speech", 1), "current"]
    log.update([version(1), version(2), version(1, model="speech"), version(2, model="speech")], [])
    assert names(await taken(watcher, 1)) == [("speech", 2)]


async def test_watchers_end_with_the_log_and_miss_nothing() -> None:
    log = ChangeLog()
    watcher = log.watch()
    await taken(watcher, 1)
    log.update([version(1)], [])
    log.close()
    assert names([told async for told in watcher]) == [("digits", 1)]
