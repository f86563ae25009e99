from __future__ import annotations

import asyncio

from cellserve.service.cluster.on_ray.directory import Directory

LIMIT_SECONDS = 60


async def test_a_server_gets_the_first_name_that_is_free() -> None:
    dead: set[str] = set()
    directory = Directory(lambda who: who not in dead)
    assert [await directory.join(who) for who in ("a", "b", "c")] == ["replica-0", "replica-1", "replica-2"]
    dead.add("b")
    assert await directory.join("d") == "replica-1"
    await directory.leave("a")
    assert [await directory.join(who) for who in ("e", "f")] == ["replica-0", "replica-3"]


async def test_whoever_looks_waits_for_something_new() -> None:
    directory = Directory(lambda _: True)
    for who in "ab":
        await directory.join(who)
    looking = asyncio.create_task(directory.look(0))
    await directory.tell("b", {"name": "replica-1", "port": 2})
    seen, facts = await looking
    assert facts == [{"name": "replica-1", "port": 2}]
    looking = asyncio.create_task(directory.look(seen))
    await directory.tell("a", {"name": "replica-0", "port": 1})
    seen, facts = await looking
    assert [each["port"] for each in facts] == [1, 2]
    await directory.leave("b")
    assert (await directory.look(seen))[1] == [{"name": "replica-0", "port": 1}]


async def test_names_stand_in_the_order_of_their_numbers() -> None:
    directory = Directory(lambda _: True)
    for number in range(11):
        await directory.tell(str(number), {"name": await directory.join(str(number))})
    _, facts = await directory.look(0)
    assert [each["name"] for each in facts][-2:] == ["replica-9", "replica-10"]


async def test_who_dies_without_a_word_is_forgotten() -> None:
    dead: set[str] = set()
    directory = Directory(lambda who: who not in dead)
    watching = asyncio.create_task(directory.watch())
    for who in "ab":
        await directory.tell(who, {"name": await directory.join(who)})
    seen, _ = await directory.look(0)
    dead.add("a")
    async with asyncio.timeout(LIMIT_SECONDS):
        _, facts = await directory.look(seen)
    assert facts == [{"name": "replica-1"}]
    watching.cancel()


async def test_the_last_words_of_one_that_has_left_are_nobodys() -> None:
    directory = Directory(lambda _: True)
    await directory.tell("stranger", {"name": "replica-0"})
    await directory.tell("a", {"name": await directory.join("a")})
    assert (await directory.look(0))[1] == [{"name": "replica-0"}]
    await directory.leave("a")
    await directory.tell("a", {"name": "replica-0"})
    assert (await directory.look(0))[1] == []
