"""model.yaml: what it may say, and what is told of one that says something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellserve.service.errors import RepositoryError
from cellserve.service.registry import model_settings
from cellserve.service.registry.model_settings import ModelSettings, RecordSettings, RequestLimits, Retention, ShadowSettings


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        (None, ModelSettings()),
        ("", ModelSettings()),
        ("# nothing\n", ModelSettings()),
        ("sequence_batching: true\n", ModelSettings(sequence_batching=True)),
        ("session_idle_seconds: 3600\n", ModelSettings(session_idle_seconds=3600)),
        ("keep_previous: 15m\nkeep_newest: 0\n", ModelSettings(keep_previous=900, keep_newest=0)),
        ("record: 50", ModelSettings(record=RecordSettings(rows=50))),
        ("record: {bytes: 4096}", ModelSettings(record=RecordSettings(rows=1000, bytes=4096))),
        ("shadow: 4", ModelSettings(shadow=ShadowSettings(version=4, share=0.1))),
        ("shadow: {version: 4, share: 25%}", ModelSettings(shadow=ShadowSettings(version=4, share=0.25))),
        ("shadow: {version: 4, share: 1}", ModelSettings(shadow=ShadowSettings(version=4, share=1.0))),
        ("retention: {keep: 5}", ModelSettings(retention=Retention(keep=5))),
        ("load: on-demand", ModelSettings(load="on-demand")),
        ("pinned: [3, 5]", ModelSettings(pinned=(3, 5))),
        ("limits:\n  max_rows_per_request: 8\n", ModelSettings(limits=RequestLimits(max_rows_per_request=8))),
        ("precision: bfloat16", ModelSettings(precision="bfloat16")),
        ("implementation: packed\ndevice: cuda:1", ModelSettings(implementation="packed", device="cuda:1")),
        ("labels: {owner: speech, cost centre: '12'}", ModelSettings(labels={"owner": "speech", "cost centre": "12"})),
        ("session_max_age_seconds: 60", ModelSettings(session_max_age_seconds=60)),
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
        ("session_idle_second: 5", "session_idle_second: .*the settings are: load"),
        ("- a list", "line 1: the whole file"),
        ("\n\nsequence_batching: true\nkeep_previous: soon", "line 4: keep_previous: 'soon' is not a duration"),
        ("limits:\n  max_rows_per_request: 0", "line 2: limits.max_rows_per_request: .*greater than 0"),
        ("pinned:\n- 1\n- first", "line 3: pinned.1: .*valid integer"),
        ("labels:\n  owner: 7", "line 2: labels.owner: .*valid string"),
        ("retention: {keep: 0}", "line 1: retention.keep: .*greater than 0"),
        ("device: tpu", "line 1: device: "),
        ("record: all", "line 1: record: "),
        ("record: {rows: 0}", "line 1: record.rows: .*greater than 0"),
        ("shadow: newest", "line 1: shadow: "),
        ("shadow: 0", "line 1: shadow.version: .*greater than 0"),
        ("shadow: {share: 10%}", "line 1: shadow.version: .*required"),
        ("shadow:\n  version: 4\n  share: 0", "line 3: shadow.share: '0' is no share"),
        ("shadow: {version: 4, share: 150%}", "shadow.share: '150%' is no share"),
        ("precision: float16", "line 1: precision: .*'bfloat16'"),
        ("implementation: packed\nprecision: bfloat16", "packed computes in float32, precision asks for bfloat16"),
        ("implementation: fast", "line 1: implementation: .*'packed'"),
        ("keep_newest: 1\nkeep_newest: 2", "line 2: keep_newest: said already in line 1"),
        ("a: &x [*x]", "line 1: a: "),
        ("a: 1\nb: 2", "line 1: a: .*; line 2: b: "),
        ("{a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1}", "; 2 more; "),
        ("a: [", "not YAML"),
        ("!!python/object/apply:os.system ['true']", "not YAML"),
        ("\x00", "not YAML"),
        ("a: " + "[" * 5000, "not YAML"),
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
