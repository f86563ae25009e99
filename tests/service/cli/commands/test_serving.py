import pytest

from cellserve.service.config import Settings
from tests.service.cli.fakes import Shell


def test_every_setting_is_an_option_with_its_help_and_default(shell: Shell) -> None:
    text = " ".join(shell("serve", "--help").stdout.replace("│", " ").split())
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in text
        assert f"{field.description} [default: {field.default}]" in text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--device", "tpu"), "--device (CELLSERVE_DEVICE)"),
        (("--port", "70000"), "--port (CELLSERVE_PORT)"),
        (("--join-latency-seconds", "0"), "--join-latency-seconds"),
        (("--tls-key", "key.pem"), "error: --tls-key is given without --tls-certificate (CELLSERVE_TLS_CERTIFICATE)"),
        (("--durable-every", "often"), "--durable-every (CELLSERVE_DURABLE_EVERY): 'often' is not how often"),
    ],
)
def test_a_bad_setting_is_one_sentence(shell: Shell, arguments: tuple[str, ...], told: str) -> None:
    result = shell("serve", *arguments)
    assert result.exit_code == 2
    assert told in result.stderr
    assert not shell.root.exists()
