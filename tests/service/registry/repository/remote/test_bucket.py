import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import InvalidInput, RepositoryAway, RepositoryError, UnknownModel, UnknownVersion
from cellserve.service.registry.manifest import ModelRef
from cellserve.service.registry.repository.model_on_disk import read_model
from cellserve.service.registry.repository.publications import Publication
from cellserve.service.registry.repository.remote import garbage
from cellserve.service.registry.repository.remote.ledger import Ledger, ledger_path
from tests.service.registry.fakes import imported, weights
from tests.service.registry.repository.remote.fakes import Killed, Machine


class House:
    """A store, and machines that share it."""

    def __init__(self, root: Path) -> None:
        self.memory = MemoryStore()
        self._root = root
        self._machines = 0

    def machine(self, cache_bytes: int = 1 << 30) -> Machine:
        self._machines += 1
        return Machine(self.memory, self._root / f"machine-{self._machines}", cache_bytes)

    def put(self, path: str, content: bytes) -> None:
        self.memory.put(path, content)

    def content(self, path: str) -> bytes:
        return bytes(self.memory.get(path).bytes())

    def paths(self, folder: str = "") -> list[str]:
        return sorted(each["path"] for chunk in self.memory.list(folder) for each in chunk)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_what_one_machine_publishes_another_one_reads(house: House) -> None:
    here, there = house.machine(), house.machine()
    published = here.repository.publish("digits", imported(5), alias="stable", tags={"team": "ocr"})
    store = there.seen()
    assert store.models() == ["digits"]
    assert store.manifest("digits", 1) == published
    assert store.weights("digits", 1).digest == weights(5).digest
    assert store.aliases("digits") == {"stable": 1}
    assert [move.by for move in store.alias_trail("digits").moves] == ["ann@host"]
    assert store.fingerprint(VersionKey("digits", 1)) == here.repository.fingerprint(VersionKey("digits", 1)) != ()


def test_nothing_of_a_weights_file_is_fetched_before_it_is_asked_for_and_nothing_twice(house: House) -> None:
    house.machine().repository.publish("digits", imported())
    there = house.machine()
    store = there.seen()
    assert not list(there.folder.glob("*/*/weights.safetensors"))
    store.weights("digits", 1)
    calls = there.objects.calls
    store.weights("digits", 1)
    assert there.objects.calls == calls


def test_a_publisher_fetches_nothing_of_what_it_has_sent(house: House) -> None:
    here = house.machine()
    here.repository.publish("digits", imported())
    calls = here.objects.calls
    here.repository.weights("digits", 1)
    assert here.objects.calls == calls


def test_a_look_at_what_has_not_changed_is_one_listing(house: House) -> None:
    here = house.machine()
    for model in ("digits", "speech"):
        here.repository.publish(model, imported())
    here.seen()
    calls = here.objects.calls
    here.seen()
    assert here.objects.calls == calls + 1
    again = Machine(house.memory, here.folder)
    again.seen()
    assert again.objects.calls == 1, "what a process before has seen is known"


def test_publishers_at_once_share_no_number_and_lose_no_alias(house: House) -> None:
    machines = [house.machine() for _ in range(3)]
    model = imported()
    failed: list[BaseException] = []

    def publish(machine: Machine, name: str) -> None:
        try:
            for turn in range(3):
                machine.repository.publish("digits", model, alias=f"{name}{turn}")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=publish, args=(machine, f"m{i}-")) for i, machine in enumerate(machines)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    store = house.machine().seen()
    assert store.versions("digits") == list(range(1, 10))
    assert sorted(store.aliases("digits").values()) == list(range(1, 10))
    assert len(store.alias_trail("digits").moves) == 9


def test_an_alias_moves_and_goes_and_its_history_stays(house: House) -> None:
    here, there = house.machine(), house.machine()
    for _ in range(3):
        here.repository.publish("digits", imported(), alias="stable")
    store = there.seen()
    assert store.split_alias("digits", "stable", 1, 0.1) == pytest.approx({1: 0.1, 3: 0.9})
    store.set_alias("digits", "canary", 2, by="bob@host")
    store.remove(ModelRef("digits", alias="canary"))
    seen = here.seen()
    assert seen.alias_table("digits").splits["stable"] == pytest.approx({1: 0.1, 3: 0.9})
    assert [(move.alias, move.before, move.after) for move in seen.alias_trail("digits").moves][-2:] == [
        ("canary", None, 2), ("canary", 2, None),
    ]  # fmt: skip
    assert read_model(seen, "digits").problems == ()


def test_a_step_of_a_gradual_promote_is_told_with_its_reason_and_not_taken_once_somebody_moved_the_alias(house: House) -> None:
    here, there = house.machine(), house.machine()
    for _ in range(2):
        here.repository.publish("digits", imported())
    here.repository.set_alias("digits", "stable", 1)
    store = there.seen()
    assert store.walk_alias("digits", "stable", {1: 1.0}, {1: 0.9, 2: 0.1}, "gradual promote", "a tenth of the way")
    assert here.seen().alias_trail("digits").moves[-1].why == "a tenth of the way"
    here.repository.set_alias("digits", "stable", 2)
    assert not store.walk_alias("digits", "stable", {1: 0.9, 2: 0.1}, {1: 0.5, 2: 0.5}, "gradual promote", "half of the way")
    assert store.aliases("digits") == {"stable": 2}


def test_a_version_that_an_alias_names_stays_whoever_named_it(house: House) -> None:
    here, there = house.machine(), house.machine()
    for _ in range(2):
        here.repository.publish("digits", imported())
    there.seen()
    here.repository.set_alias("digits", "stable", 1)  # which the other machine has not seen
    with pytest.raises(RepositoryError, match="in use by the alias 'stable'"):
        there.repository.remove(ModelRef("digits", version=1))
    with pytest.raises(InvalidInput, match="no alias 'canary'"):
        there.repository.split_alias("digits", "canary", 1, 0.5)


def test_what_is_removed_is_gone_everywhere_and_its_number_is_not_given_again(house: House) -> None:
    here, there = house.machine(), house.machine()
    for _ in range(2):
        here.repository.publish("digits", imported())
    there.seen()
    here.repository.remove(ModelRef("digits", version=2))
    assert there.seen().versions("digits") == [1]
    here.repository.remove(ModelRef("digits"))
    assert there.seen().models() == []
    assert house.paths("content") == []
    with pytest.raises(UnknownModel):
        there.repository.set_alias("digits", "stable", 1)
    assert there.repository.publish("digits", imported()).version == 3


def test_a_publication_becomes_one_version_wherever_it_is_sent_again(house: House) -> None:
    publication = Publication(publication_id="run-17", by="ann", when=datetime(2026, 1, 1, tzinfo=UTC))
    here, there = house.machine(), house.machine()
    first = here.repository.publish("digits", imported(), publication=publication)
    again = there.repository.publish("digits", imported(), publication=publication)
    assert again == first
    assert there.seen().published_as("digits", "run-17") == 1
    assert there.repository.publication(VersionKey("digits", 1)) == publication
    assert len(house.paths("content")) == 2


def test_an_owner_says_what_holds_in_model_yaml(house: House) -> None:
    here = house.machine()
    here.repository.publish("digits", imported())
    house.put("models/digits/model.yaml", b"pinned: [1]")
    assert here.seen().settings("digits").pinned == (1,)
    here.repository.publish("digits", imported())
    assert here.repository.settings("digits").pinned == (1,)
    house.put("models/digits/model.yaml", b"pinned: no")
    here.seen()
    with pytest.raises(RepositoryError, match=r"model\.yaml is wrong"):
        here.repository.settings("digits")
    house.memory.delete("models/digits/model.yaml")
    assert here.seen().settings("digits").pinned == ()


# --- killed at every step ---


def _first(machine: Machine) -> None:
    machine.repository.publish("digits", imported(), alias="stable")


ACTS: dict[str, tuple[Callable[[Machine], object], tuple[list[int], dict[str, int]]]] = {
    "publish": (lambda machine: machine.repository.publish("digits", imported(1)), ([1, 2], {"stable": 1})),
    "promote": (lambda machine: machine.repository.set_alias("digits", "canary", 1), ([1], {"canary": 1, "stable": 1})),
    "unname": (lambda machine: machine.repository.remove(ModelRef("digits", alias="stable")), ([1], {})),
    "remove": (lambda machine: machine.repository.remove(ModelRef("digits")), ([], {})),
}


@pytest.mark.parametrize("act", ACTS)
def test_whoever_is_killed_at_any_call_has_changed_all_or_nothing(house: House, act: str, tmp_path: Path) -> None:
    does, wanted = ACTS[act]
    before = ([1], {"stable": 1})
    seen_both: set[bool] = set()
    step = 0
    while True:
        step += 1
        for moment in ("kill_before", "kill_after"):
            trial = House(tmp_path / f"{act}-{step}-{moment}")
            _first(trial.machine())
            killed = trial.machine()
            killed.seen()
            killed.objects.calls = 0
            setattr(killed.objects, moment, step)
            try:
                does(killed)
                done = True
            except Killed:
                done = False
            for machine in (trial.machine(), Machine(trial.memory, killed.folder)):
                store = machine.seen()
                versions = store.versions("digits") if store.models() else []
                found = (versions, store.aliases("digits") if versions else {})
                assert found in ([wanted] if done else [before, wanted]), (step, moment)
                for version in versions:
                    store.weights("digits", version)
                seen_both.add(found == wanted)
            assert trial.machine().repository.publish("digits", imported(2)).version == (3 if 2 in found[0] else 2)
            if done and moment == "kill_before":
                assert seen_both == {False, True}
                return


def test_a_write_whose_answer_is_lost_counts_once(house: House) -> None:
    here = house.machine()
    here.repository.publish("digits", imported())
    here.objects.calls, here.objects.lost = 0, (2,)  # the ledger is read, then written
    here.repository.set_alias("digits", "stable", 1)
    assert here.objects.calls == 3
    assert len(house.machine().seen().alias_trail("digits").moves) == 1


# --- away, slow, damaged ---


def test_what_is_here_goes_on_while_the_store_is_away(house: House) -> None:
    here = house.machine()
    here.repository.publish("digits", imported(), alias="stable")
    here.objects.away = True
    with pytest.raises(RepositoryAway, match="s3://bucket/models cannot be asked"):
        here.repository.refresh()
    assert here.repository.aliases("digits") == {"stable": 1}
    here.repository.weights("digits", 1)
    with pytest.raises(RepositoryAway):
        here.repository.set_alias("digits", "canary", 1)
    with pytest.raises(RepositoryAway):
        here.repository.publish("digits", imported())
    fresh = Machine(house.memory, here.folder)  # a process that starts meanwhile
    fresh.objects.away = True
    assert fresh.repository.manifest("digits", 1)


def test_the_cache_keeps_what_was_used_last(house: House) -> None:
    publisher = house.machine()
    for seed in range(3):
        publisher.repository.publish("digits", imported(seed))
    size = next(publisher.folder.glob("digits/1/weights.safetensors")).stat().st_size
    here = house.machine(cache_bytes=2 * size)
    store = here.seen()
    for version in (1, 2, 1, 3):
        store.weights("digits", version)
    assert sorted(path.parent.name for path in here.folder.glob("digits/*/weights.safetensors")) == ["1", "3"]
    assert store.weights("digits", 2).digest == weights(1).digest


def test_a_damaged_copy_is_fetched_again(house: House) -> None:
    here = house.machine()
    here.repository.publish("digits", imported(), alias="stable")
    for file in ("1/weights.safetensors", "1/manifest.json", "aliases.json", ".ledger.json"):
        path = here.folder / "digits" / file
        path.write_bytes(path.read_bytes()[:-9] + b"damaged")
    again = Machine(house.memory, here.folder).seen()
    assert again.weights("digits", 1).digest == weights().digest
    assert again.manifest("digits", 1).version == 1
    assert again.aliases("digits") == {"stable": 1}


@pytest.mark.parametrize("kind", ["weights", "manifest"])
def test_what_was_damaged_in_the_store_is_never_served(house: House, kind: str) -> None:
    house.machine().repository.publish("digits", imported())
    (path,) = (path for path in house.paths("content") if kind in path)
    content = house.content(path)
    house.put(path, content[:-1] + bytes([content[-1] ^ 1]))
    store = house.machine().seen()
    assert store.versions("digits") == [1]
    with pytest.raises(RepositoryError, match=r"content/digits/.* is not what was published.*import the file again"):
        store.weights("digits", 1)


@pytest.mark.parametrize(
    "damage", [lambda _: b"", lambda _: b"{}", lambda _: b"\xff", lambda told: told.replace(b'"stable":1', b'"stable":2')]
)
def test_a_damaged_ledger_is_told_and_what_was_known_stays(house: House, damage: Callable[[bytes], bytes]) -> None:
    here = house.machine()
    here.repository.publish("digits", imported(), alias="stable")
    here.repository.publish("speech", imported())
    sound = house.content(ledger_path("digits"))
    content = damage(sound)
    assert content != sound
    house.put(ledger_path("digits"), content)
    known = read_model(here.seen(), "digits")
    assert known.versions.keys() == {1}
    assert "models/digits/ledger.json of s3://bucket/models is damaged" in read_model(here.repository, "digits", known).problem
    with pytest.raises(RepositoryError, match="is damaged"):
        here.repository.set_alias("digits", "stable", 1)
    with pytest.raises(RepositoryError, match="is damaged"):
        here.repository.publish("digits", imported())
    assert house.content(ledger_path("digits")) == content, "nobody writes over what may be mended"
    assert here.repository.aliases("speech") == {}
    house.put(ledger_path("digits"), sound)
    assert read_model(here.seen(), "digits").problems == ()


def test_a_store_that_ignores_conditions_is_refused_before_anything_is_lost(house: House) -> None:
    here = house.machine()
    here.objects.write = lambda path, content, known: str(house.memory.put(path, content)["e_tag"])  # type: ignore[method-assign]
    with pytest.raises(RepositoryError, match="changes of others would be lost"):
        here.repository.publish("digits", imported())
    assert house.paths() == []


def test_what_killed_publishers_left_goes_when_it_is_old_and_nothing_else(house: House) -> None:
    here = house.machine()
    here.repository.publish("digits", imported())
    named = house.paths("content")
    house.put("content/digits/0123/weights.safetensors", b"left")
    ledger = Ledger.parse("digits", house.content(ledger_path("digits")))
    garbage.sweep(here.objects, ledger)
    assert len(house.paths("content")) == 3
    garbage.sweep(here.objects, ledger, datetime.now(UTC) + timedelta(days=2))
    assert house.paths("content") == named


def test_a_version_that_is_gone_meanwhile_is_told(house: House) -> None:
    here, there = house.machine(), house.machine()
    for _ in range(2):
        here.repository.publish("digits", imported())
    there.seen()
    here.repository.remove(ModelRef("digits", version=1))
    with pytest.raises(UnknownVersion, match="no version 1"):
        there.repository.set_alias("digits", "stable", 1)
