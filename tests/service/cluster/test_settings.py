from __future__ import annotations

from pathlib import Path

import pytest

from cellserve.service.cluster.settings import ClusterSettings, internal_tls, misplaced, replica_environment, replica_options
from cellserve.service.config import Settings
from cellserve.service.tls_files import TlsFiles


def settings(replicas: int = 2, further: tuple[str, ...] = (), internal: TlsFiles | None = None) -> ClusterSettings:
    return ClusterSettings(
        replicas=replicas,
        host="0.0.0.0",
        port=8001,
        folder=Path("/state"),
        serve=Settings(repository=Path("/models")),
        further=further,
        internal=internal,
    )


def told(options: tuple[str, ...]) -> dict[str, str]:
    """The last word on each."""
    return dict(zip(options[::2], options[1::2], strict=True))


def test_a_replica_listens_on_this_machine_alone_and_believes_the_proxy() -> None:
    options = told(replica_options(settings(), "replica-1", "valkey://127.0.0.1:6379"))
    assert options["--host"] == "127.0.0.1"
    assert options["--port"] == options["--metrics-port"] == "0"
    assert options["--repository"] == "/models"
    assert options["--session-store"] == "valkey://127.0.0.1:6379"
    assert options["--replica-name"] == "replica-1"
    assert options["--request-ids-from"] == "127.0.0.0/8"


def test_further_options_reach_it() -> None:
    options = told(replica_options(settings(further=("--implementation", "packed")), "replica-0", "valkey://host"))
    assert options["--implementation"] == "packed"


def test_a_password_stands_on_no_command_line() -> None:
    url = "valkey://user:secret@host"
    assert not [word for word in replica_options(settings(), "replica-0", url) if "secret" in word]
    assert replica_environment(settings(), {}, url, 4)["CELLSERVE_SESSION_STORE"] == url


def test_tls_ends_at_the_proxy() -> None:
    given = {f"CELLSERVE_TLS_{name}": "/file" for name in ("CERTIFICATE", "KEY", "CLIENT_CA")} | {"CELLSERVE_TOKENS": "/tokens"}
    found = replica_environment(settings(), given, "valkey://host", 4)
    assert {name for name in found if name.startswith("CELLSERVE")} == {"CELLSERVE_TOKENS", "CELLSERVE_WORKERS"}


def test_replicas_show_the_clusters_own_certificate_and_want_to_see_it() -> None:
    found = replica_environment(settings(internal=internal_tls(Path("/inside"))), {}, "valkey://host", 4)
    assert (found["CELLSERVE_TLS_CERTIFICATE"], found["CELLSERVE_TLS_KEY"]) == ("/inside/certificate.pem", "/inside/key.pem")
    assert found["CELLSERVE_TLS_CLIENT_CA"] == "/inside/ca.pem"


@pytest.mark.parametrize(("replicas", "cores", "workers"), [(2, 2, 1), (2, 8, 3), (4, 16, 3), (3, 1, 1)])
def test_replicas_share_the_cores(replicas: int, cores: int, workers: int) -> None:
    found = replica_environment(settings(replicas), {}, "valkey://host", cores)
    assert found["CELLSERVE_WORKERS"] == str(workers)


def test_how_many_workers_may_be_said() -> None:
    assert replica_environment(settings(), {"CELLSERVE_WORKERS": "7"}, "valkey://host", 4)["CELLSERVE_WORKERS"] == "7"


@pytest.mark.parametrize(
    "words", [("--port", "1"), ("--workers", "2", "--host=0.0.0.0"), ("--tls-key", "file"), ("--min-ping-interval-seconds", "1")]
)
def test_what_is_the_clusters_own_is_told(words: tuple[str, ...]) -> None:
    assert misplaced(words) in {"--port", "--host=0.0.0.0", "--tls-key", "--min-ping-interval-seconds"}


def test_anything_else_is_the_servers() -> None:
    assert misplaced(("--implementation", "packed", "--durable-every=10")) is None
