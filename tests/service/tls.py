"""The certificates of the tests; certificates/make.sh tells what each is."""

from __future__ import annotations

from pathlib import Path

from cellserve.service.tls_files import TlsFiles

FOLDER = Path(__file__).parent / "certificates"
AUTHORITY = FOLDER / "authority.pem"


def certificate(name: str) -> Path:
    return FOLDER / f"{name}.pem"


def key(name: str) -> Path:
    return FOLDER / f"{name}-key.pem"


def files_of(name: str, client_ca: Path | None = None) -> TlsFiles:
    return TlsFiles(certificate(name), key(name), client_ca)
