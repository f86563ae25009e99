from pathlib import Path

import pytest
from pydantic import ValidationError

from cellserve.service.config import Settings
from cellserve.service.followed_files import UnusableFile
from cellserve.service.tls_files import TlsFiles


def test_defaults_hold_without_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"CELLSERVE_{name.upper()}", raising=False)
    settings = Settings()
    assert (settings.port, settings.metrics_port) == (8001, 8002)
    assert settings.repository_folder == Path("model-repository")


def test_the_environment_is_read_and_the_caller_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLSERVE_PORT", "9000")
    monkeypatch.setenv("CELLSERVE_REPOSITORY", "/models")
    settings = Settings(port=9001)
    assert settings.port == 9001
    assert settings.repository_folder == Path("/models")


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": -1},
        {"port": 65536},
        {"device": "cuda:x"},
        {"workers": -1},
        {"worker_cores": "x"},
        {"administration_from": "everywhere"},
        {"request_ids_from": "everywhere"},
        {"session_store": "localhost"},
        {"session_store": "valkey://localhost", "durable_every": "5s"},
        {"session_store_prefix": "{a}"},
        {"trace_endpoint": "collector:4317"},
        {"trace_endpoint": "http://collector:4318/v1/traces"},
        {"trace_share": "1.5"},
        {"worker_cores": "99999"},
        {"implementation": "3"},
        {"log_format": "xml"},
        {"drain_seconds": float("inf")},
        {"session_idle_seconds": float("nan")},
        {"session_max_age_seconds": 1e10},
        {"keepalive_seconds": 1e12},
        {"max_message_bytes": 2**31},
        {"max_concurrent_calls": 2**31},
    ],
)
def test_wrong_values_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)  # type: ignore[arg-type]


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORT", "TLS_CERTIFICATE", "TOKENS", "DURABLE_EVERY"):
        monkeypatch.setenv(f"CELLSERVE_{name}", "")
    assert (Settings().port, Settings().tls, Settings().tokens) == (8001, None, None)


CHAIN, KEY, CA = Path("chain.pem"), Path("key.pem"), Path("ca.pem")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"tls_certificate": CHAIN}, r"--tls-certificate is given without --tls-key \(CELLSERVE_TLS_KEY\); TLS needs both"),
        ({"tls_key": KEY}, r"--tls-key is given without --tls-certificate \(CELLSERVE_TLS_CERTIFICATE\)"),
        ({"tls_client_ca": CA}, "--tls-client-ca is given without --tls-certificate and --tls-key"),
        ({"tls_client_ca": CA, "tls_key": KEY}, "--tls-key is given without --tls-certificate"),
    ],
)
def test_half_of_tls_is_refused(given: dict[str, Path], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Settings(**given)  # type: ignore[arg-type]


def test_tls_is_its_files_or_none() -> None:
    assert Settings().tls is None
    assert Settings(tls_certificate=CHAIN, tls_key=KEY, tls_client_ca=CA).tls == TlsFiles(CHAIN, KEY, CA)


def test_every_setting_says_what_it_means_and_seconds_and_bytes_are_in_its_name() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description
        assert field.description.endswith(".")
        if field.annotation is float:
            assert name.endswith(("_seconds", "_share"))  # a share has no unit


def test_with_a_store_every_feed_is_written_unless_a_number_says() -> None:
    assert Settings(session_store="valkey://localhost").write_every_feeds == 1
    assert Settings(session_store="valkey://localhost", durable_every="7").write_every_feeds == 7


def test_a_refused_setting_shows_no_password() -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(session_store="valkey://user:secret@host/x")
    assert "secret" not in str(refused.value)
    assert "secret" not in repr(Settings(session_store="valkey://user:secret@host"))


def test_a_file_is_overridden_by_the_environment_and_that_by_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("port: 1\nmetrics_port: 2\ndrain_seconds: 3.5\nimplementation: 0\nworker_cores: 0\ntokens:\n")
    monkeypatch.setenv("CELLSERVE_SETTINGS_FILE", str(file))
    monkeypatch.setenv("CELLSERVE_METRICS_PORT", "20")
    settings = Settings(port=10)
    assert (settings.port, settings.metrics_port, settings.drain_seconds) == (10, 20, 3.5)
    assert (settings.implementation, settings.worker_cores, settings.tokens) == ("0", "0", None)
    other = tmp_path / "other.yaml"
    other.write_text("drain_seconds: 4")
    assert Settings(settings_file=other).drain_seconds == 4


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("port: 1\nprot: 2", "line 2: there is no setting 'prot'; port?"),
        ("metrics-port: 2", "line 1: there is no setting 'metrics-port'; metrics_port?"),
        ("zzzzzz: 2", "line 1: there is no setting 'zzzzzz'; docs/settings.md lists them"),
        ("settings_file: other.yaml", "line 1: there is no setting 'settings_file'"),
        ("port: 1\nport: 2", "line 2: port is there already"),
        ("port: [1, 2]", "line 1: port takes one value"),
        ("- port", "holds no settings by name"),
        ("port: 1\n  host: x", "line 2: is not YAML"),
        ("port: \x00", "is not YAML"),
    ],
)
def test_a_mistake_in_the_file_is_told_by_its_line(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    with pytest.raises(UnusableFile) as refused:
        Settings(settings_file=file)
    assert str(refused.value).startswith(f"--settings-file {file}")
    assert told in str(refused.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnusableFile, match="cannot be read"):
        Settings(settings_file=tmp_path / "none.yaml")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(UnusableFile, match="is not text"):
        Settings(settings_file=binary)
    (tmp_path / "empty.yaml").write_text("# nothing yet\n")
    assert Settings(settings_file=tmp_path / "empty.yaml").port == Settings().port


def test_a_value_of_the_file_is_checked_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("port: many")
    with pytest.raises(ValidationError, match="port"):
        Settings(settings_file=tmp_path / "settings.yaml")
