"""deploy/compose.yaml under deploy/compose.tls.yaml for real: a server with TLS in a container, and with tokens as a secret."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cellserve.service.client import Client
from cellserve.service.errors import TokenInvalid, TokenMissing
from tests.e2e.compose import ALONE, ROOT, TLS, CommandFailed, Compose, tool_or_skip
from tests.e2e.test_containers import eventually
from tests.service import tls

pytestmark = pytest.mark.e2e

SHOP, LATER = "shop-0123456789abcdef", "later-0123456789abcdef"
AUTHORITY = tls.AUTHORITY.read_bytes()
ANYBODY = 0o755, 0o644  # user 10001 of the container reads them


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets")
    shutil.copy(tls.certificate("server"), folder / "chain.pem")
    shutil.copy(tls.key("server"), folder / "key.pem")
    (folder / "tokens").write_text(f"infer {SHOP} the web shop\n")
    for path in (folder, *folder.iterdir()):
        path.chmod(ANYBODY[0] if path.is_dir() else ANYBODY[1])
    for above in folder.parents[:2]:
        above.chmod(ANYBODY[0])
    return folder


@pytest.fixture(scope="module")
def compose(secrets: Path) -> Iterator[Compose]:
    tool = tool_or_skip()
    compose = Compose(tool, ALONE, TLS, services=("server",), variables={"CELLSERVE_SECRETS": str(secrets)})
    try:
        compose.up()
        eventually(lambda: compose.exec("python", "-m", "cellserve.service.healthcheck"), CommandFailed)
        yield compose
    finally:
        compose.down()


@pytest.fixture(scope="module")
def row() -> np.ndarray:
    with np.load(ROOT / "deploy/demo/digits-heldout.npz") as heldout:
        row: np.ndarray = heldout["inputs"][0]
    return row


def test_it_answers_over_tls_who_has_a_token_and_nobody_else(compose: Compose, row: np.ndarray) -> None:
    url = f"grpcs://localhost:{compose.port}"
    with Client(url, root_certificates=AUTHORITY, token=SHOP) as client:
        assert client.predict("digits", row).argmax() == 0
    with Client(url, root_certificates=AUTHORITY) as client, pytest.raises(TokenMissing):
        client.predict("digits", row)
    with Client(url, root_certificates=AUTHORITY, token=LATER) as client, pytest.raises(TokenInvalid):
        client.predict("digits", row)


def test_the_secret_is_a_file_that_may_be_written_anew(compose: Compose, secrets: Path, row: np.ndarray) -> None:
    with (secrets / "tokens").open("a") as tokens:
        tokens.write(f"infer {LATER} a later one\n")
    with Client(f"grpcs://localhost:{compose.port}", root_certificates=AUTHORITY, token=LATER) as client:
        assert client.predict("digits", row).argmax() == 0
    assert LATER not in compose.exec("env")


def test_its_root_file_system_is_read_only(compose: Compose) -> None:
    for folder in ("/opt/cellserve", "/etc", "/secrets"):
        with pytest.raises(CommandFailed, match=r"[Rr]ead-only|[Pp]ermission denied"):
            compose.exec("sh", "-c", f"echo >{folder}/written")
    compose.exec("sh", "-c", "echo >/tmp/written")


def test_it_stops_in_order(compose: Compose) -> None:
    assert compose.stop("server") == 0, compose.logs("server")
