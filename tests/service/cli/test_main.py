import subprocess
import sys

import pytest

from tests.service.cli.fakes import Shell

COMMANDS = ("import", "inspect", "serve", "models", "show", "promote", "remove", "prune", "predict", "compare", "load")


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_teaches_by_an_example(shell: Shell, command: str) -> None:
    result = shell(command, "--help")
    assert result.exit_code == 0
    assert f"cellserve {command} " in result.stdout


def test_the_commands_are_listed(shell: Shell) -> None:
    listed = shell("--help").stdout
    assert [command for command in COMMANDS if f" {command} " not in listed] == []


def test_the_version_is_told(shell: Shell) -> None:
    assert shell("--version").stdout.startswith("cellserve ")


def test_an_unknown_command_is_told_with_exit_code_2(shell: Shell) -> None:
    result = shell("improt")
    assert result.exit_code == 2
    assert "improt" in result.stderr


def test_debug_shows_the_failure_itself(shell: Shell) -> None:
    assert isinstance(shell("--debug", "show", "digits").exception, Exception)
    assert isinstance(shell("show", "digits").exception, SystemExit)


def test_help_starts_without_the_heavy_packages() -> None:
    done = run_python(
        "import sys\n"
        "from cellserve.service.cli.main import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'h5py', 'safetensors', 'watchfiles', 'prometheus_client'} & set(sys.modules)))"
    )
    assert done.stdout.rstrip().endswith("[]"), done.stderr


@pytest.mark.parametrize(
    ("missing", "arguments"), [("safetensors", ["inspect", "x.h5"]), ("watchfiles", ["serve", "--repository", "/nonexistent"])]
)
def test_without_the_server_extra_it_says_what_to_install(missing: str, arguments: list[str]) -> None:
    done = run_python(
        f"import sys\nsys.modules[{missing!r}] = None\nfrom cellserve.service.cli.main import app\napp({arguments!r})"
    )
    assert done.returncode == 1
    assert "pip install 'cellserve[server]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_module_is_the_command_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cellserve.service", "--version"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0
    assert done.stdout.startswith("cellserve ")
