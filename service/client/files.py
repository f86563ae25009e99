"""What a client shows a server and asks of it, read from files: for the command line and the health check. Knows no channel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from cellserve.service.errors import InvalidInput


class ClientSecurity(TypedDict):
    """Arguments of Client and AsyncClient, which say what they mean."""

    token: str | None
    root_certificates: bytes | None
    client_certificate: bytes | None
    client_key: bytes | None
    server_name: str | None


@dataclass(frozen=True, slots=True)
class ClientFiles:
    """token_file: nothing but the token is in it. The other files are PEM."""

    token_file: Path | None = None
    root_certificates: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    server_name: str | None = None

    def read(self) -> ClientSecurity:
        """Raises InvalidInput, OSError."""
        return ClientSecurity(
            token=None if self.token_file is None else _token(self.token_file),
            root_certificates=_bytes(self.root_certificates),
            client_certificate=_bytes(self.client_certificate),
            client_key=_bytes(self.client_key),
            server_name=self.server_name,
        )


def _bytes(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()


def _token(path: Path) -> str:
    """The sentence must not show the token, which a mistaken file may hold too."""
    words = path.read_text(encoding="utf-8", errors="replace").split()
    if len(words) != 1 or not words[0].isascii():
        raise InvalidInput(f"--token-file {path}: expected one token and nothing else; write it into a file of its own")
    return words[0]
