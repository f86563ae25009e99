import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.errors import InvalidInput
from cellserve.service.registry.manifest import Manifest, ModelRef, ParityRecord, SourceRecord, check_alias_name, parse_version
from tests.service.registry.fakes import SPEC

names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", fullmatch=True)
aliases = st.from_regex(r"[A-Za-z_][A-Za-z0-9._-]{0,127}", fullmatch=True)
versions = st.integers(min_value=1, max_value=10**17)


@given(names, versions)
def test_a_reference_to_a_version_comes_back(name: str, version: int) -> None:
    assert ModelRef.parse(f"{name}/{version}") == ModelRef(name, version=version)
    assert str(ModelRef(name, version=version)) == f"{name}/{version}"
    assert ModelRef(name, version=version).wire_version == str(version)


@given(names, aliases)
def test_a_reference_to_an_alias_comes_back(name: str, alias: str) -> None:
    assert ModelRef.parse(f"{name}@{alias}") == ModelRef(name, alias=alias)
    assert str(ModelRef(name, alias=alias)) == f"{name}@{alias}"
    assert ModelRef(name, alias=alias).wire_version == alias


@given(names)
def test_a_bare_name_comes_back(name: str) -> None:
    assert ModelRef.parse(name) == ModelRef(name)
    assert ModelRef(name).wire_version == ""


@given(st.text())
def test_any_text_is_a_reference_or_is_refused(text: str) -> None:
    try:
        reference = ModelRef.parse(text)
    except InvalidInput:
        return
    assert str(reference) == text
    assert set(reference.model) <= set(string.ascii_letters + string.digits + "._-")


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", ".hidden", "-option", "a b", "a/b", "../a", "a/../b", "a\\b", "a\n", "é", "a" * 129, "/1", "@x", "a\0"],
)
def test_names_that_could_be_paths_or_options_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not a"):
        ModelRef.parse(text)


@pytest.mark.parametrize("version", ["0", "-1", "01", "1.0", "+1", " 1", "٣", "", "1" * 19, "stable"])
def test_only_plain_positive_integers_are_versions(version: str) -> None:
    assert parse_version(version) is None
    with pytest.raises(InvalidInput, match="positive integer"):
        ModelRef.parse(f"digits/{version}")


def test_an_alias_can_never_be_read_as_a_version() -> None:
    with pytest.raises(InvalidInput, match="alias"):
        check_alias_name("3")


def test_a_manifest_survives_its_json() -> None:
    manifest = Manifest(
        model="digits",
        version=3,
        spec=SPEC,
        weights_digest="sha256:" + "a" * 64,
        source=SourceRecord(framework="keras", version="2.2.4", file="digits.h5", digest="sha256:" + "b" * 64),
        parity=ParityRecord(bound=1e-5, differences={"2": 1e-7}),
        golden={"inputs": [1.5, 0.1]},
    )
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
    assert manifest.created.utcoffset() is not None
    assert str(manifest.key) == "digits/3"
