"""Who walks a model's aliases, where several machines share an object store."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from cellserve.service.registry.manifest import ModelRef
from cellserve.service.registry.policy.rollout import Rollout
from cellserve.service.registry.repository.home import WalkedElsewhere
from cellserve.service.registry.repository.remote.walks import GONE_SECONDS, Walks
from tests.service.registry.fakes import imported
from tests.service.registry.repository.remote.fakes import Machine, Objects

WALK = Rollout(alias="stable", version=2, before=1, seconds=600.0)


class Walker:
    """A machine, whose clock is its own."""

    def __init__(self, memory: MemoryStore, folder: Path) -> None:
        (folder / "digits").mkdir(parents=True)
        self.objects = Objects(memory)
        self.now = 0.0
        self.walks = Walks(self.objects, folder, lambda: self.now)

    def may(self, held: ExitStack) -> bool:
        return held.enter_context(self.walks.walker("digits")) is not None

    def looks(self, seconds: float) -> bool:
        """So long, every five seconds; whether it may walk in the end."""
        for _ in range(int(seconds // 5)):
            self.now += 5.0
            with ExitStack() as held:
                if self.may(held):
                    return True
        return False


@pytest.fixture
def two(tmp_path: Path) -> tuple[Walker, Walker]:
    memory = MemoryStore()
    return Walker(memory, tmp_path / "here"), Walker(memory, tmp_path / "there")


def test_one_walks_at_a_time_and_the_other_one_as_soon_as_it_has_ended(two: tuple[Walker, Walker]) -> None:
    here, there = two
    with here.walks.walker("digits") as write:
        assert write is not None
        write(WALK)
        with there.walks.walker("digits") as other:
            assert other is None
    assert there.walks.read("digits") == {"stable": WALK}
    with there.walks.walker("digits") as other:
        assert other is not None


def test_whoever_gives_signs_goes_on_and_whoever_gives_none_is_gone(two: tuple[Walker, Walker]) -> None:
    here, there = two
    with here.walks.walker("digits") as write:
        assert write is not None
        for step in range(30):
            write(WALK.model_copy(update={"walked_seconds": 5.0 * step}))
            assert not there.looks(5.0)
        assert not there.looks(GONE_SECONDS - 5.0)
        with ExitStack() as held:
            there.now += 5.0
            assert there.may(held)
            with pytest.raises(WalkedElsewhere, match="another server has gone on with digits@stable"):
                write(WALK)
    assert there.walks.read("digits")["stable"].walked_seconds == 145.0


def test_a_process_that_starts_where_one_was_killed_goes_on_at_once(two: tuple[Walker, Walker], tmp_path: Path) -> None:
    here, there = two
    held = here.walks.walker("digits")
    held.__enter__()
    here.objects.away = True  # so that nothing more is written, as of one that was killed
    held.__exit__(None, None, None)
    again = Walks(there.objects, tmp_path / "here")
    with again.walker("digits") as write:
        assert write is not None
    with ExitStack() as stack:
        assert there.may(stack)


def test_what_was_written_and_not_answered_is_ones_own(two: tuple[Walker, Walker]) -> None:
    here, _ = two
    with here.walks.walker("digits") as write:
        assert write is not None
        here.objects.lost = (here.objects.calls + 1,)
        with pytest.raises(Exception, match="the answer did not come"):
            write(WALK)
        write(WALK.model_copy(update={"walked_seconds": 9.0}))
    assert here.walks.read("digits")["stable"].walked_seconds == 9.0


def test_while_the_store_is_away_what_was_read_last_is_told(two: tuple[Walker, Walker]) -> None:
    here, there = two
    with here.walks.walker("digits") as write:
        assert write is not None
        write(WALK)
    assert there.walks.read("digits") == {"stable": WALK}
    there.objects.away = True
    assert there.walks.read("digits") == {"stable": WALK}
    assert Walks(there.objects, Path("elsewhere")).read("digits") == {}


def test_a_record_that_cannot_be_read_holds_nobody_up(two: tuple[Walker, Walker], caplog: pytest.LogCaptureFixture) -> None:
    here, _ = two
    here.objects.put("models/digits/rollouts.json", b"{")
    assert here.walks.read("digits") == {}
    assert "rollouts.json" in caplog.text
    with here.walks.walker("digits") as write:
        assert write is not None


def test_another_machine_sees_how_far_an_alias_has_walked(tmp_path: Path) -> None:
    memory = MemoryStore()
    here, there = (Machine(memory, tmp_path / name) for name in ("here", "there"))
    for _ in range(2):
        here.repository.publish("digits", imported())
    with here.repository.walker("digits") as write:
        assert write is not None
        write(WALK)
        assert there.seen().rollouts("digits") == {"stable": WALK}
    there.repository.remove(ModelRef("digits"))
    here.repository.publish("digits", imported())
    assert here.seen().rollouts("digits") == {}
