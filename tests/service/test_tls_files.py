"""The files of TLS: what is wrong with them is told before gRPC sees them."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

import pytest

from cellserve.service.followed_files import UnusableFile
from cellserve.service.tls_files import TlsFiles, UntrustworthyCertificate, certificate_expiry
from tests.service.tls import AUTHORITY, certificate, files_of, key


def test_sound_files_are_read_as_they_are() -> None:
    identity = files_of("server", AUTHORITY).read()
    assert identity.certificate_chain == certificate("server").read_bytes()
    assert identity.private_key == key("server").read_bytes()
    assert identity.client_authorities == AUTHORITY.read_bytes()
    assert files_of("server").read().client_authorities is None


def test_a_chain_and_text_between_its_certificates(tmp_path: Path) -> None:
    chain = tmp_path / "chain.pem"
    chain.write_text(f"für models\n{certificate('server').read_text()}\nthe authority\n{AUTHORITY.read_text()}")
    assert TlsFiles(chain, key("server")).read().certificate_chain == chain.read_bytes()
    assert TlsFiles(chain, key("server")).facts().names == ("models.example", "localhost")


def damaged(path: Path, folder: Path) -> Path:
    """The same with its first line of numbers cut short."""
    lines = path.read_text().splitlines()
    copy = folder / f"damaged-{path.name}"
    copy.write_text("\n".join((lines[0], lines[1][:20], *lines[2:])))
    return copy


def test_each_mistake_is_one_sentence_that_names_setting_and_file(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    server, server_key = certificate("server"), key("server")
    mistakes = {
        TlsFiles(tmp_path / "none.pem", server_key): r"--tls-certificate .*none\.pem: cannot be read \(No such file",
        TlsFiles(server, tmp_path): r"--tls-key .*: cannot be read \(Is a directory",
        TlsFiles(server, server_key, tmp_path / "none.pem"): r"--tls-client-ca .*none\.pem: cannot be read",
        TlsFiles(empty, server_key): r"--tls-certificate .*empty\.pem: holds no certificate in PEM; give",
        TlsFiles(server_key, server): r"--tls-certificate .*server-key\.pem: holds no certificate",
        TlsFiles(server, server): r"--tls-key .*server\.pem: holds no private key",
        TlsFiles(server, server_key, empty): r"--tls-client-ca .*empty\.pem: holds no certificate",
        TlsFiles(
            server, key("client")
        ): r"--tls-key .*client-key\.pem: is not the key of .* --tls-certificate .*server\.pem; give",
        TlsFiles(server, certificate("locked-key")): r"--tls-key .*locked-key\.pem: is locked with a passphrase; write a copy",
        TlsFiles(
            damaged(server, tmp_path), server_key
        ): r"--tls-certificate .*damaged-server\.pem: a certificate in it is damaged",
        TlsFiles(server, damaged(server_key, tmp_path)): r"with --tls-key .*damaged-server-key\.pem: cannot be used",
        TlsFiles(server, server_key, damaged(AUTHORITY, tmp_path)): r"--tls-client-ca .*: a certificate in it is damaged",
    }
    for files, told in mistakes.items():
        with pytest.raises(UnusableFile, match=told) as caught:
            files.read()
        assert "\n" not in str(caught.value)


def test_a_certificate_tells_its_names_and_its_end() -> None:
    facts = files_of("server").facts()
    assert facts.names == ("models.example", "localhost")
    assert facts.valid_until.endswith("GMT")
    assert files_of("stranger").facts().names == ("stranger",)


@pytest.mark.parametrize("name", ["expired", "client"])
def test_a_certificate_that_clients_refuse_is_told_apart_from_a_bad_file(name: str) -> None:
    assert files_of(name).read().certificate_chain
    with pytest.raises(UntrustworthyCertificate, match=rf"--tls-certificate .*{name}\.pem: clients will refuse it \("):
        files_of(name).facts()


def test_the_end_of_a_certificate_is_told_even_if_it_has_come() -> None:
    end = certificate_expiry(files_of("server"))
    assert end == ssl.cert_time_to_seconds(files_of("server").facts().valid_until)
    expired = certificate_expiry(files_of("expired"))
    assert expired is not None
    assert expired < time.time()
    assert certificate_expiry(None) is None
    assert certificate_expiry(TlsFiles(Path("/nowhere"), Path("/nowhere"))) is None
