import socket

import pytest

from cellserve.service.errors import RepositoryAway, RepositoryError
from cellserve.service.registry.repository.remote.store import Store


def test_a_store_that_nobody_answers_for_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        with pytest.raises(RepositoryAway, match=r"^s3://bucket/models cannot be asked to list: [^\n]*$") as told:
            Store.at("s3://bucket/models").list("models")
    assert "secret" not in str(told.value)
    assert "builder" not in str(told.value), "it was asked"


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "obstore.store", None)
    with pytest.raises(RepositoryError, match=r"pip install 'cellserve\[remote\]'"):
        Store.at("s3://bucket/models")
