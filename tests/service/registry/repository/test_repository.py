import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cellserve.models.errors import ModelError
from cellserve.models.weights import Weights
from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import InvalidInput, RepositoryError, UnknownModel, UnknownVersion
from cellserve.service.registry.manifest import ModelRef
from cellserve.service.registry.repository.repository import Repository
from tests.service.registry.fakes import failing_gate, imported, passing_gate, repository, weights


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_publish_lays_down_exactly_the_agreed_files(tmp_path: Path) -> None:
    manifest = repository(tmp_path).publish("digits", imported(), alias="stable", tags={"team": "ocr"})
    assert str(manifest.key) == "digits/1"
    assert files(tmp_path) == {
        "digits/1/manifest.json", "digits/1/manifest.sha256", "digits/1/weights.safetensors",
        "digits/aliases.json", "digits/alias-history.jsonl",
    }  # fmt: skip
    assert json.loads((tmp_path / "digits/aliases.json").read_bytes()) == {"stable": 1}
    assert json.loads((tmp_path / "digits/1/manifest.json").read_bytes())["schema_version"] == 1


def test_what_was_published_comes_back(tmp_path: Path) -> None:
    published = repository(tmp_path).publish("digits", imported(seed=5), tags={"team": "ocr"})
    again = repository(tmp_path)
    assert again.manifest("digits", 1) == published
    assert again.weights("digits", 1).digest == weights(5).digest == published.weights_digest
    assert published.notes
    assert published.source.framework == "keras"
    assert published.tags == {"team": "ocr"}


def test_versions_count_upwards_and_models_are_apart(tmp_path: Path) -> None:
    store = repository(tmp_path)
    for _ in range(11):
        store.publish("digits", imported())
    store.publish("speech", imported())
    assert store.models() == ["digits", "speech"]
    assert store.versions("digits") == list(range(1, 12))
    assert store.versions("speech") == [1]


def test_a_number_is_never_given_twice(tmp_path: Path) -> None:
    store = repository(tmp_path)
    for _ in range(2):
        store.publish("digits", imported())
    store.remove(ModelRef("digits", version=2))
    assert store.versions("digits") == [1]
    assert store.publish("digits", imported()).version == 3


def test_publishers_at_once_get_different_numbers(tmp_path: Path) -> None:
    model = imported()
    with ThreadPoolExecutor(8) as pool:
        published = list(pool.map(lambda i: repository(tmp_path).publish("digits", model, alias=f"a{i}"), range(16)))
    assert sorted(manifest.version for manifest in published) == list(range(1, 17))
    store = repository(tmp_path)
    assert sorted(store.aliases("digits").values()) == list(range(1, 17))
    assert all(store.weights("digits", version).digest == model.weights.digest for version in store.versions("digits"))


def test_a_refusing_gate_leaves_the_repository_untouched(tmp_path: Path) -> None:
    repository(tmp_path).publish("digits", imported())
    before = files(tmp_path)
    with pytest.raises(ModelError, match="differs from the oracle"):
        Repository(tmp_path, gate=failing_gate).publish("digits", imported(1))
    with pytest.raises(ModelError):
        Repository(tmp_path, gate=failing_gate).publish("fresh", imported(1))
    assert files(tmp_path) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["digits"]


class UnwritableWeights(Weights):
    def save(self, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    model = imported()
    broken = type(model)(weights=UnwritableWeights(model.weights.arrays))
    with pytest.raises(RepositoryError, match="No space left on device"):
        repository(tmp_path).publish("digits", broken)
    assert list(tmp_path.iterdir()) == []


def test_what_a_crash_leaves_is_ignored(tmp_path: Path) -> None:
    store = repository(tmp_path)
    store.publish("digits", imported())
    (tmp_path / ".staging-1").mkdir()
    (tmp_path / ".staging-1" / "manifest.json").write_text("{")
    (tmp_path / "digits" / ".removed-2").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "digits" / "notes").mkdir()
    assert store.models() == ["digits"]
    assert store.versions("digits") == [1]


def test_a_missing_repository_has_no_models_and_reading_does_not_make_it(tmp_path: Path) -> None:
    store = repository(tmp_path / "nowhere")
    assert store.models() == []
    with pytest.raises(UnknownModel, match="digits"):
        store.versions("digits")
    with pytest.raises(UnknownModel):
        store.remove(ModelRef("digits"))
    with pytest.raises(UnknownModel):
        store.set_alias("digits", "stable", 1)
    assert not store.root.exists()


def test_a_repository_that_is_a_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(RepositoryError, match="cannot be used"):
        repository(path).create()
    with pytest.raises(RepositoryError, match="cannot be read"):
        repository(path).models()


def test_aliases_move_and_name_only_versions_that_exist(tmp_path: Path) -> None:
    store = repository(tmp_path)
    for _ in range(2):
        store.publish("digits", imported())
    store.set_alias("digits", "stable", 1)
    store.set_alias("digits", "canary", 2)
    store.set_alias("digits", "stable", 2)
    assert store.aliases("digits") == {"canary": 2, "stable": 2}
    with pytest.raises(UnknownVersion, match="it has 1, 2"):
        store.set_alias("digits", "stable", 3)
    with pytest.raises(InvalidInput, match="alias"):
        store.set_alias("digits", "7", 1)
    assert store.aliases("digits") == {"canary": 2, "stable": 2}


def test_a_bare_reference_is_the_stable_alias_or_else_the_newest(tmp_path: Path) -> None:
    store = repository(tmp_path)
    for _ in range(3):
        store.publish("digits", imported())
    assert store.resolve(ModelRef("digits")) == VersionKey("digits", 3)
    store.set_alias("digits", "stable", 2)
    assert store.resolve(ModelRef("digits")) == VersionKey("digits", 2)
    assert store.resolve(ModelRef("digits", version=1)) == VersionKey("digits", 1)
    assert store.resolve(ModelRef("digits", alias="stable")) == VersionKey("digits", 2)
    with pytest.raises(UnknownVersion, match="its aliases: stable"):
        store.resolve(ModelRef("digits", alias="canary"))


def test_an_aliased_version_is_not_removed(tmp_path: Path) -> None:
    store = repository(tmp_path)
    for _ in range(2):
        store.publish("digits", imported())
    store.set_alias("digits", "canary", 1)
    with pytest.raises(RepositoryError, match=r"alias 'canary'.*cellserve remove digits@canary"):
        store.remove(ModelRef("digits", version=1))
    store.remove(ModelRef("digits", alias="canary"))
    store.remove(ModelRef("digits", version=1))
    assert store.versions("digits") == [2]


def test_a_model_is_removed_whole(tmp_path: Path) -> None:
    store = repository(tmp_path)
    store.publish("digits", imported(), alias="stable")
    store.publish("speech", imported())
    store.remove(ModelRef("digits"))
    assert store.models() == ["speech"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["speech"]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"schema_version": 2}', "\x00" * 50])
def test_a_damaged_manifest_is_told_and_hurts_nobody_else(tmp_path: Path, content: str) -> None:
    store = repository(tmp_path)
    store.publish("digits", imported())
    store.publish("speech", imported())
    (tmp_path / "digits/1/manifest.json").write_text(content)
    with pytest.raises(RepositoryError, match=r"digits/1/manifest\.json is damaged"):
        store.manifest("digits", 1)
    assert store.models() == ["digits", "speech"]
    assert store.weights("speech", 1)


def test_a_renamed_folder_is_told(tmp_path: Path) -> None:
    store = repository(tmp_path)
    store.publish("digits", imported())
    os.rename(tmp_path / "digits/1", tmp_path / "digits/7")
    with pytest.raises(RepositoryError, match="says it is digits/1"):
        store.manifest("digits", 7)


def test_foreign_weights_are_told(tmp_path: Path) -> None:
    store = repository(tmp_path)
    store.publish("digits", imported())
    weights(seed=9).save(tmp_path / "digits/1/weights.safetensors")
    with pytest.raises(RepositoryError, match="not what was published"):
        store.weights("digits", 1)


def test_cut_or_missing_weights_are_told(tmp_path: Path) -> None:
    store = repository(tmp_path)
    store.publish("digits", imported())
    path = tmp_path / "digits/1/weights.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(RepositoryError, match="damaged"):
        store.weights("digits", 1)
    path.unlink()
    with pytest.raises(RepositoryError, match="missing"):
        store.weights("digits", 1)


@pytest.mark.parametrize("content", ["{", "[1]", '{"stable": "1"}', '{"stable": 0}', '{"stable": 1.5}'])
def test_damaged_aliases_are_told_and_can_be_written_anew(tmp_path: Path, content: str) -> None:
    store = repository(tmp_path)
    store.publish("digits", imported())
    (tmp_path / "digits/aliases.json").write_text(content)
    with pytest.raises(RepositoryError, match="cellserve promote digits"):
        store.aliases("digits")
    store.set_alias("digits", "stable", 1)
    assert store.aliases("digits") == {"stable": 1}


def test_missing_aliases_are_told_and_a_move_writes_them_all_anew(tmp_path: Path) -> None:
    store = repository(tmp_path)
    for _ in range(2):
        store.publish("digits", imported())
    store.set_alias("digits", "stable", 1)
    store.set_alias("digits", "canary", 2)
    (tmp_path / "digits/aliases.json").unlink()
    with pytest.raises(RepositoryError, match="missing"):
        store.resolve(ModelRef("digits"))
    store.set_alias("digits", "stable", 2)
    assert store.aliases("digits") == {"canary": 2, "stable": 2}


def test_who_moved_an_alias_is_recorded(tmp_path: Path) -> None:
    Repository(tmp_path, gate=passing_gate, by="ann@host").publish("digits", imported(), alias="stable")
    store = repository(tmp_path)
    store.set_alias("digits", "canary", 1, by="a call from ipv4:10.0.0.1:5")
    store.remove(ModelRef("digits", alias="canary"))
    assert [(each.alias, each.before, each.after, each.by) for each in store.alias_trail("digits").moves] == [
        ("stable", None, 1, "ann@host"), ("canary", None, 1, "a call from ipv4:10.0.0.1:5"), ("canary", 1, None, ""),
    ]  # fmt: skip


def test_a_dangling_alias_can_be_removed(tmp_path: Path) -> None:
    store = repository(tmp_path)
    store.publish("digits", imported())
    (tmp_path / "digits/aliases.json").write_text('{"stable": 9}')
    store.remove(ModelRef("digits", alias="stable"))
    assert store.aliases("digits") == {}
    with pytest.raises(UnknownVersion, match="its aliases: none"):
        store.remove(ModelRef("digits", alias="stable"))


def test_the_fingerprint_follows_the_files(tmp_path: Path) -> None:
    store = repository(tmp_path)
    key = store.publish("digits", imported()).key
    first = store.fingerprint(key)
    assert first
    assert store.fingerprint(key) == first
    weights(1).save(tmp_path / "digits/1/weights.safetensors")
    assert store.fingerprint(key) != first
    store.remove(ModelRef("digits"))
    assert store.fingerprint(key) == ()


def test_progress_names_the_steps_in_order(tmp_path: Path) -> None:
    steps: list[str] = []
    Repository(tmp_path, gate=passing_gate).publish("digits", imported(), progress=steps.append)
    assert [step.split()[0] for step in steps] == ["checking", "publishing"]
