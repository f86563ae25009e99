"""One way to ask for both clients, so that every case holds for both."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from cellserve.service.client import AsyncClient, Client, RetryPolicy
from tests.service.client.fake_sequences import Ask, Clock, FakeSequences, serving


@pytest.fixture
def fake() -> FakeSequences:
    return FakeSequences()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, fake: FakeSequences, clock: Clock) -> Iterator[Ask]:
    """ask("predict" | "run" | "ready", …) through one of the clients; settings of the client by `client=`."""
    with serving(fake) as url:

        def ask_sync(method: str, *args: Any, client: dict[str, Any] | None = None, **options: Any) -> Any:
            settings = {"retry": RetryPolicy(dice=lambda: 1.0), "clock": clock, "sleep": clock.sleep, **(client or {})}
            with Client(url, **settings) as opened:
                return getattr(opened, method)(*args, **options)

        def ask_async(method: str, *args: Any, client: dict[str, Any] | None = None, **options: Any) -> Any:
            async def talk() -> Any:
                settings = {"retry": RetryPolicy(dice=lambda: 1.0), "clock": clock, "sleep": clock.sleep_async, **(client or {})}
                async with AsyncClient(url, **settings) as opened:
                    return await getattr(opened, method)(*args, **options)

            return asyncio.run(talk())

        yield ask_sync if request.param == "sync" else ask_async
