from pathlib import Path

import pytest
from pydantic import ValidationError

from cellserve.service.config import Settings
from cellserve.service.repository_place import folder_of, is_store, mirror_name, url_of


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/some/prefix", "gs://bucket/prefix", "az://container/prefix"])
def test_an_object_store_is_told_by_its_scheme(url: str) -> None:
    assert url_of(url) == url_of(url + "/") == url


@pytest.mark.parametrize("url", ["https://host/models", "sftp://ann@host/models", "hdfs:///models", "memory://models"])
def test_other_places_are_told_by_their_urls_too(url: str) -> None:
    assert url_of(url) == url
    assert not is_store(url)


@pytest.mark.parametrize(
    ("text", "folder"),
    [("models", "models"), ("/srv/models", "/srv/models"), ("file:///srv/my%20models", "/srv/my models"), ("a:b/c", "a:b/c")],
)
def test_everything_else_is_a_folder(text: str, folder: str) -> None:
    assert url_of(text) is None
    assert folder_of(text) == Path(folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sftp://ann:secret@host/models", "holds no password"),
        ("memory://", "not the URL of a repository"),
        ("s3:///models", "not the URL of a repository"),
        ("s3:/bucket/models", "not the URL of a repository"),
        ("s3://bucket/models?region=x", "not the URL of a repository"),
        ("s3://key:secret@bucket/models", "holds no password"),
        ("file://elsewhere/models", "names a folder of this machine"),
    ],
)
def test_what_is_no_place_is_told(text: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words) as told:
        Settings(repository=text)
    assert "secret" not in str(told.value)


def test_each_url_is_seen_in_a_folder_of_its_own() -> None:
    one, other = Settings(repository="s3://bucket/a-b"), Settings(repository="s3://bucket/a/b")
    assert one.repository_folder != other.repository_folder
    assert mirror_name("s3://bucket/a-b").startswith("s3-bucket-a-b-")
    assert Settings(repository=Path("models")).repository_folder == Path("models")
