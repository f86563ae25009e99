import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellserve.models.description.layers.cells import GruLayer, LstmLayer, SimpleRnnLayer
from cellserve.models.spec import InputSpec, ModelSpec
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


def manifest_of(spec: ModelSpec) -> Manifest:
    return Manifest(
        model="digits",
        version=3,
        spec=spec,
        weights_digest="sha256:" + "a" * 64,
        source=SourceRecord(framework="keras", version="2.2.4", file="digits.h5", digest="sha256:" + "b" * 64),
        parity=ParityRecord(bound=1e-5, differences={"2": 1e-7}),
        golden={"inputs": [1.5, 0.1]},
    )


def test_a_manifest_survives_its_json() -> None:
    manifest = manifest_of(SPEC)
    assert Manifest.model_validate_json(manifest.to_json()) == manifest
    assert manifest.created.utcoffset() is not None
    assert str(manifest.key) == "digits/3"


def test_manifests_that_say_every_default_are_read_too() -> None:
    """As those are that were published before defaults were left out."""
    manifest = manifest_of(SPEC)
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest


def test_a_manifest_says_no_option_that_is_not_used() -> None:
    """So that servers that do not know an option yet, and refuse what they do not know, read it in the midst of an upgrade."""
    layers = (
        LstmLayer(name="a", inputs=("x",), units=2, return_sequences=True),
        GruLayer(name="b", inputs=("a",), units=2, return_sequences=True, gate_clip=3.0),
        SimpleRnnLayer(name="c", inputs=("b",), units=2),
    )
    spec = ModelSpec(inputs=(InputSpec(name="x", width=2),), layers=layers, outputs=("c",))
    written = json.loads(manifest_of(spec).to_json())
    assert written["spec"] == {
        "schema_version": 1,
        "inputs": [{"name": "x", "width": 2}],
        "layers": [
            {"kind": "lstm", "name": "a", "inputs": ["x"], "units": 2, "return_sequences": True},
            {"kind": "gru", "name": "b", "inputs": ["a"], "units": 2, "return_sequences": True, "gate_clip": 3.0},
            {"kind": "simple_rnn", "name": "c", "inputs": ["b"], "units": 2},
        ],
        "outputs": ["c"],
    }
    assert written["schema_version"] == 1
    assert written["parity"] == {"bound": 1e-5, "differences": {"2": 1e-7}}
    assert not {"notes", "tags"} & written.keys()
