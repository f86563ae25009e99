"""What a person adds by hand is checked word by word."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.description import Description, load_description


def written(folder: Path, text: str) -> Path:
    path = folder / "description.yaml"
    path.write_text(text)
    return path


def test_yaml_and_json_say_the_same(tmp_path: Path) -> None:
    from_yaml = load_description(written(tmp_path, "nonlinearity: relu\nhead: sequence\norder: [rnn, fc]\n"))
    from_json = load_description(written(tmp_path, '{"nonlinearity": "relu", "head": "sequence", "order": ["rnn", "fc"]}'))
    assert from_yaml == from_json == Description(nonlinearity="relu", head="sequence", order=("rnn", "fc"))


def test_an_empty_description_says_nothing(tmp_path: Path) -> None:
    assert load_description(written(tmp_path, "")) == Description()


def test_an_unknown_key_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match=r"'nonlinearty'.*head, head_activations,.* nonlinearity, order"):
        load_description(written(tmp_path, "nonlinearty: relu"))


@pytest.mark.parametrize("text", ["nonlinearity: gelu", "head: all", "order: rnn", "head_activations: [gumbel]"])
def test_a_value_that_is_not_allowed(tmp_path: Path, text: str) -> None:
    with pytest.raises(ImportRefused, match=f"option '{text.split(':')[0]}"):
        load_description(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "said"), [("- a\n- b", "mapping"), ("a: [", "neither YAML nor JSON"), ("!!python/name:os.system x", "neither")]
)
def test_what_is_no_description(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ImportRefused, match=said):
        load_description(written(tmp_path, text))


def test_a_missing_description(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="cannot be read"):
        load_description(tmp_path / "absent.yaml")
