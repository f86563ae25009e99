"""Asks a server whether it serves: `python -m cellserve.service.healthcheck [host:port]`, for containers' health checks.

Exit code 0 when it does, else 1 with a sentence on standard error. Without an argument it asks the server of the settings, on
this machine: over TLS where they name a certificate, trusting that certificate alone, whatever name it bears, and showing it too
where the server wants to see one. Options say otherwise. Health needs no token.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from cellserve.service.client import Client, ClientFiles, ServiceError
from cellserve.service.config import Settings
from cellserve.service.followed_files import UnusableFile
from cellserve.service.tls_files import TlsFiles, UntrustworthyCertificate

TIMEOUT_SECONDS = 3.0


def main(arguments: list[str], timeout_seconds: float = TIMEOUT_SECONDS) -> int:
    given = _parser().parse_args(arguments)
    try:
        settings = Settings()
        url = given.url or f"127.0.0.1:{settings.port}"
        files = _files(given, None if given.url else settings.tls)
        with Client(url, **files.read()) as client:
            if client.ready(timeout_seconds):
                return 0
    except (OSError, ValueError, ServiceError, UnusableFile, UntrustworthyCertificate) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{url} did not say within {timeout_seconds:g} s that it serves", file=sys.stderr)
    return 1


def _files(given: argparse.Namespace, own: TlsFiles | None) -> ClientFiles:
    """own: the files of the server on this machine, where that is asked and has TLS; what is given wins."""
    files = ClientFiles()
    if own is not None:
        files = ClientFiles(root_certificates=own.certificate, server_name=_any_name(own))
        if own.client_ca is not None:
            files = replace(files, client_certificate=own.certificate, client_key=own.key)
    return replace(files, **{name: value for name, value in vars(given).items() if name != "url" and value is not None})


def _any_name(own: TlsFiles) -> str | None:
    names = own.facts().names
    return names[0].replace("*", "any", 1) if names else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cellserve.service.healthcheck", description="Does a server serve?")
    parser.add_argument("url", nargs="?", help="host:port or grpcs://host:port; else the server of the settings, on this machine")
    parser.add_argument("--root-certificates", type=Path, help="PEM file of the authorities to trust; asks for TLS")
    parser.add_argument("--client-certificate", type=Path, help="PEM file of the certificate to show")
    parser.add_argument("--client-key", type=Path, help="PEM file of that certificate's key")
    parser.add_argument("--server-name", help="the name in the server's certificate, where it is not the host")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
