"""The files of TLS: a certificate chain, its private key, and the authorities of clients. Read, checked and described.

By Python's own ssl module, so that every mistake is told in a sentence before gRPC, which tells none, sees the files.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cellserve.service.followed_files import UnusableFile, named, read

_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
_KEY: Final = b"PRIVATE KEY-----"
_NO_CHECK_TIME: Final = 0x200000  # of OpenSSL, for which ssl has no name


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """Everything in PEM. client_authorities: who signs the certificates that clients must show; None: clients show none."""

    certificate_chain: bytes
    private_key: bytes
    client_authorities: bytes | None


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """names: what a client may call the server by, host names and addresses. valid_until: as certificates write it, in GMT."""

    names: tuple[str, ...]
    valid_until: str


class UntrustworthyCertificate(Exception):
    """Well-formed, and yet every client would refuse it: expired, not valid yet, or not made for servers."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """certificate: the server's, then those that lead from it to an authority. key: of the first of them, without passphrase."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        return (self.certificate, self.key) if self.client_ca is None else (self.certificate, self.key, self.client_ca)

    def read(self) -> TlsIdentity:
        """Raises UnusableFile."""
        chain, key = read("tls_certificate", self.certificate), read("tls_key", self.key)
        authorities = None if self.client_ca is None else read("tls_client_ca", self.client_ca)
        _require_certificates(chain, named("tls_certificate", self.certificate), "the server's certificate chain")
        if self.client_ca is not None and authorities is not None:
            _require_certificates(authorities, named("tls_client_ca", self.client_ca), "the authorities of the clients")
        if _KEY not in key:
            raise UnusableFile(f"{named('tls_key', self.key)}: holds no private key in PEM; give the key of the certificate")
        self._context()
        return TlsIdentity(chain, key, authorities)

    def facts(self) -> CertificateFacts:
        """Learnt by a handshake with oneself, in memory. Raises UnusableFile, UntrustworthyCertificate."""
        return _facts(self._shown())

    def expiry_unix_seconds(self) -> float:
        """Of the certificate, which may have expired. Raises UnusableFile, UntrustworthyCertificate."""
        return float(ssl.cert_time_to_seconds(self._shown(_NO_CHECK_TIME)["notAfter"]))

    def _shown(self, more_flags: int = 0) -> Mapping[str, Any]:
        """The certificate as a client sees it, who checks as `more_flags` say besides."""
        self.read()
        client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client_side.check_hostname = False
        client_side.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | more_flags  # the certificate vouches for itself
        client_side.load_verify_locations(self.certificate)
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = self._context().wrap_bio(to_server, to_client, server_side=True)
        client = client_side.wrap_bio(to_client, to_server)
        try:
            _shake_hands(client, server)
        except ssl.SSLCertVerificationError as error:
            raise UntrustworthyCertificate(
                f"{named('tls_certificate', self.certificate)}: clients will refuse it ({error.verify_message})"
            ) from error
        return client.getpeercert() or {}

    def context(self) -> ssl.SSLContext:
        """A server's, that asks clients for certificates where it knows their authorities. Raises UnusableFile."""
        context = self._context()
        if self.client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.client_ca)
        return context

    def _context(self) -> ssl.SSLContext:
        """That shows the certificate, and asks for none."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.certificate, self.key, password=self._refuse_passphrase)
        except ssl.SSLError as error:
            raise UnusableFile(self._mistake(error)) from error
        return context

    def _refuse_passphrase(self) -> str:
        """Else Python would ask for it on the terminal."""
        raise UnusableFile(
            f"{named('tls_key', self.key)}: is locked with a passphrase; write a copy without one, for the server's user alone: "
            f"openssl pkey -in {self.key.name} -out plain-{self.key.name}"
        )

    def _mistake(self, error: ssl.SSLError) -> str:
        certificate, key = named("tls_certificate", self.certificate), named("tls_key", self.key)
        if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
            return f"{key}: is not the key of the first certificate in {certificate}; give the two files of one certificate"
        return f"{certificate} with {key}: cannot be used ({error.reason or 'the key is damaged'}); make the two files anew"


def certificate_expiry(files: TlsFiles | None) -> float | None:
    """As `TlsFiles.expiry_unix_seconds`; None without TLS, and while the files cannot be read or used."""
    try:
        return None if files is None else files.expiry_unix_seconds()
    except (UnusableFile, UntrustworthyCertificate):
        return None


def _require_certificates(pem: bytes, where: str, what: str) -> None:
    if _CERTIFICATE not in pem:
        raise UnusableFile(f"{where}: holds no certificate in PEM; give {what}, which begins with {_CERTIFICATE.decode()}")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError) as error:
        raise UnusableFile(f"{where}: a certificate in it is damaged; copy {what} anew") from error


def _shake_hands(client: ssl.SSLObject, server: ssl.SSLObject) -> None:
    """Each side answers what the other has written. Raises SSLError."""
    sides = [client, server]
    while sides:
        side = sides.pop(0)
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            sides.append(side)


def _facts(decoded: Mapping[str, Any]) -> CertificateFacts:
    names = tuple(value for kind, value in decoded.get("subjectAltName", ()) if kind in ("DNS", "IP Address"))
    common = tuple(value for pairs in decoded.get("subject", ()) for kind, value in pairs if kind == "commonName")
    return CertificateFacts(names or common, decoded.get("notAfter", ""))
