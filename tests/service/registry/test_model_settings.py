"""model.yaml: what it may say, and what is told of one that says something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellserve.service.errors import RepositoryError
from cellserve.service.registry import model_settings
from cellserve.service.registry.model_settings import ModelSettings


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        (None, ModelSettings()),
        ("", ModelSettings()),
        ("# nothing\n", ModelSettings()),
        ("sequence_batching: true\n", ModelSettings(sequence_batching=True)),
        ("session_idle_seconds: 3600\n", ModelSettings(session_idle_seconds=3600)),
        ("{session_idle_seconds: 0, sequence_batching: false}", ModelSettings(session_idle_seconds=0)),
    ],
)
def test_settings_are_read(tmp_path: Path, text: str | None, settings: ModelSettings) -> None:
    if text is not None:
        (tmp_path / "model.yaml").write_text(text)
    assert model_settings.read(tmp_path) == settings


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("sequence_batching: 1", "sequence_batching: .*valid boolean"),
        ("sequence_batching: 'true'", "sequence_batching: .*valid boolean"),
        ("session_idle_seconds: -1", "greater than or equal to 0"),
        ("session_idle_seconds: .inf", "finite"),
        ("session_idle_second: 5", "session_idle_second: .*the settings are: sequence_batching"),
        ("- a list", "the whole file"),
        ("a: [", "is not YAML"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
        ("\x00", "is not YAML"),
        ("a: " + "[" * 5000, "is not YAML"),
        ("#" * (1 << 20) + "#", "larger than"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "model.yaml").write_text(text)
    with pytest.raises(RepositoryError, match=f"model.yaml.*{sentence}"):
        model_settings.read(tmp_path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").mkdir()
    with pytest.raises(RepositoryError, match="cannot be read"):
        model_settings.read(tmp_path)
