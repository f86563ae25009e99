"""The store of a cluster: what it lets whom do. It is seen running in tests/e2e."""

from __future__ import annotations

import re
from pathlib import Path

from cellserve.service.cluster.folder import Folder
from cellserve.service.cluster.store import RIGHTS, Store
from cellserve.service.store_url import StoreUrl
from tests.e2e.compose import ROOT


def test_without_a_guard_it_is_open_to_this_machine(tmp_path: Path) -> None:
    store = Store(Path("/valkey"), Folder(tmp_path), 7000, "cellserve", guarded=False)
    assert store.url == store.shown_url == "valkey://127.0.0.1:7000"


def test_with_one_only_those_who_are_given_its_url_get_in(tmp_path: Path) -> None:
    one, other = (Store(Path("/valkey"), Folder(tmp_path), 7000, "cellserve", guarded=True) for _ in range(2))
    found, others = StoreUrl.parse(one.url), StoreUrl.parse(other.url)
    assert found is not None
    assert others is not None
    assert found.user == "cellserve"
    assert found.password != others.password
    assert len(found.password or "") >= 32
    assert one.shown_url == "valkey://127.0.0.1:7000"


def test_its_user_may_do_what_the_documentation_says() -> None:
    document = (ROOT / "docs" / "cluster.md").read_text()
    (rights,) = re.findall(r"ACL SETUSER cellserve on >password ~\{cellserve\}:\* ([^`]+)", document)
    assert rights.split() == RIGHTS.split()
