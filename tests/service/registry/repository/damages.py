"""Random damage of what a repository keeps on disk or in an object store, and whether it is told and never believed."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from obstore.store import MemoryStore

from cellserve.service.errors import ServiceError, UnknownModel
from cellserve.service.registry.manifest import Manifest
from cellserve.service.registry.repository.model_on_disk import read_model
from cellserve.service.registry.repository.repository import Repository
from tests.service.registry.fakes import imported, repository
from tests.service.registry.repository.remote.fakes import Machine

MODEL: Final = "digits"
VERSIONS: Final = (1, 2, 3)
SETTINGS: Final = b"pinned: [1]\nlabels: {owner: ocr}\n"


def publish(repository: Repository) -> dict[int, Manifest]:
    """Three versions, two aliases, one of them split."""
    manifests = {version: repository.publish(MODEL, imported(version), alias="stable") for version in VERSIONS}
    repository.set_alias(MODEL, "canary", 1, by="bob@host")
    repository.split_alias(MODEL, "canary", 2, 0.25)
    return manifests


def damaged(content: bytes, numbers: random.Random) -> bytes | None:
    """Otherwise than it was; None: gone."""
    place = numbers.randrange(len(content) or 1)
    length = numbers.choice((1, 1, 2, 8, 64))
    ways: tuple[Callable[[], bytes | None], ...] = (
        lambda: None,
        lambda: b"",
        lambda: content[:place],
        lambda: content[:place] + bytes([content[place] ^ 1 << numbers.randrange(8)]) + content[place + 1 :] if content else b"x",
        lambda: content[:place] + numbers.randbytes(length) + content[place + length :],
        lambda: content[:place] + content[place + length :],
        lambda: content[:place] + content[place : place + length] * 2 + content[place + length :],
        lambda: content[:place] + bytes(length) + content[place + length :],
        lambda: content + numbers.randbytes(length),
        lambda: numbers.randbytes(len(content)),
        lambda: b"{" * 100_000,
        lambda: b'{"versions": 1e999, "stable": "3"}',
    )
    return numbers.choice(ways)()


def wrong(repository: Repository, published: dict[int, Manifest]) -> list[str]:
    """What is believed that was never so, or is missing and not told. Raises what is no ServiceError."""
    try:
        versions = repository.versions(MODEL)
        model = read_model(repository, MODEL)
    except UnknownModel:
        return ["all of it is gone, and nothing was said"]
    except ServiceError:
        return []
    told = [*model.problems, *model.dangling.values()]
    mistakes = [f"version {version} was never published" for version in versions if version not in published]
    for version in set(versions) & set(published):
        mistakes.extend(_of_a_version(repository, version, published[version]))
    names: dict[str, Any] = {"stable": 3, "canary": 1}
    if not told and (dict(model.aliases), {n: dict(s) for n, s in model.splits.items()}) != (
        names,
        {"canary": {1: 0.75, 2: 0.25}},
    ):
        mistakes.append(f"aliases are {model.aliases}, {model.splits}, and nothing was said")
    return mistakes


def _of_a_version(repository: Repository, version: int, published: Manifest) -> list[str]:
    try:
        manifest = repository.manifest(MODEL, version)
        weights = repository.weights(MODEL, version)
    except ServiceError:
        return []
    if manifest != published:
        return [f"the manifest of version {version} is another one"]
    return [] if weights.digest == published.weights_digest else [f"the numbers of version {version} are others"]


def _damage(path: Path, numbers: random.Random) -> None:
    content = damaged(path.read_bytes(), numbers)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


def require_told_of_a_folder(root: Path, seed: int) -> None:
    """Some files of a repository in a folder are damaged."""
    numbers = random.Random(seed)
    published = publish(repository(root))
    (root / MODEL / "model.yaml").write_bytes(SETTINGS)
    files = sorted(path for path in (root / MODEL).rglob("*") if path.is_file())
    for path in numbers.sample(files, numbers.choice((1, 1, 2))):
        _damage(path, numbers)
    assert wrong(repository(root), published) == []


def require_told_or_mended_of_a_store(root: Path, seed: int) -> None:
    """An object of a store is damaged, or a copy of it on a machine, which is mended."""
    numbers = random.Random(seed)
    memory = MemoryStore()
    published = publish(Machine(memory, root / "publisher").repository)
    here = Machine(memory, root / "here")
    store = here.seen()
    for version in VERSIONS:
        store.weights(MODEL, version)
    if numbers.random() < 0.5:
        copies = sorted(path for path in here.folder.rglob("*") if path.is_file() and path.name != ".conditional-writes")
        _damage(numbers.choice(copies), numbers)
        again = Machine(memory, here.folder).seen()
        assert wrong(again, published) == []
        assert again.aliases(MODEL) == {"canary": 1, "stable": 3}
        return
    path = numbers.choice(sorted(each["path"] for chunk in memory.list() for each in chunk))
    content = damaged(bytes(memory.get(path).bytes()), numbers)
    if content is None:
        memory.delete(path)
    else:
        memory.put(path, content)
    for machine in (Machine(memory, here.folder), Machine(memory, root / "another")):
        seen = machine.seen()
        if seen.models() or not path.startswith("models/"):  # nobody can tell a ledger that is gone from one that never was
            assert wrong(seen, published) == []
