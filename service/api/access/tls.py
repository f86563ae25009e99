"""What each front needs of the files of TLS. Files that are replaced count from the next connection on."""

from __future__ import annotations

import logging
import ssl

import grpc

from cellserve.service.followed_files import FollowedFiles
from cellserve.service.tls_files import TlsFiles, TlsIdentity, UntrustworthyCertificate

_log = logging.getLogger(__name__)


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """To be kept for as long as the server runs: gRPC calls back into them at each connection. Raises UnusableFile."""
    following = FollowedFiles(files.paths, lambda: _read(files))
    in_use = following.current()

    def replacement() -> grpc.ServerCertificateConfiguration | None:
        """Asked by gRPC before each handshake, on threads of its own; None: as before."""
        nonlocal in_use
        if (present := following.current()) is in_use:
            return None
        in_use = present
        return _configuration(present)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(in_use),
        replacement,  # type: ignore[arg-type]  # the stubs forget None
        require_client_authentication=files.client_ca is not None,
    )


def server_context(files: TlsFiles, protocol: str) -> FollowedFiles[ssl.SSLContext]:
    """protocol: that a client must speak, by its name in the handshake. Raises UnusableFile."""

    def made() -> ssl.SSLContext:
        _read(files)
        context = files.context()
        context.set_alpn_protocols([protocol])
        return context

    return FollowedFiles(files.paths, made)


def _read(files: TlsFiles) -> TlsIdentity:
    identity = files.read()
    try:
        facts = files.facts()
    except UntrustworthyCertificate as error:
        _log.error("%s; replace it, the server will notice", error)
    else:
        _log.info("TLS as %s, valid until %s", ", ".join(facts.names), facts.valid_until)
    return identity


def _configuration(identity: TlsIdentity) -> grpc.ServerCertificateConfiguration:
    pair = (identity.private_key, identity.certificate_chain)
    return grpc.ssl_server_certificate_configuration([pair], identity.client_authorities)
