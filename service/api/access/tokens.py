"""Who may call: the tokens of a file, each with a role, and what it may use. Knows no method and no gRPC.

    # role   token           what it may use                          whose it is
    infer    TOKEN           models=digits,speech-* steps/s=50000     the web shop
    admin    sha256:DIGITS                                            the operators

A token is never kept as such, and never told: only a keyed digest of it is. Which token a caller has guessed nearly cannot be
seen from how long an answer takes, since the key is drawn anew by each server.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cellserve.service.api.access.allowances import ANYTHING, Allowance
from cellserve.service.errors import InvalidInput, TokenInvalid
from cellserve.service.followed_files import UnusableFile, named, read
from cellserve.service.registry.manifest import check_model_name

_SHORTEST: Final = 16  # characters; a shorter one can be guessed
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # what `authorization: Bearer` may carry, RFC 6750
_HASHED: Final = re.compile(r"sha256:([0-9a-f]{64})")
_LIMIT: Final = re.compile(r"([A-Za-z_/]+)=(.*)")
_MOST_STEPS_PER_SECOND: Final = 1e12
_EXAMPLE: Final = "infer or admin, and a token such as `openssl rand -hex 32` makes"


class Role(enum.Enum):
    """What a token is good for; an administrator may infer too."""

    INFER = "infer"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Grant:
    """What the holder of one token may do. owner: the note behind the token, whose it is; else the role.

    name: the same whenever the file is read, and no secret.
    """

    role: Role
    owner: str
    allowance: Allowance = ANYTHING
    name: str = ""


class Tokens:
    """grants: by the SHA-256 of the token. limited: whether any of them may not use everything."""

    def __init__(self, grants: Mapping[bytes, Grant]) -> None:
        self._key = secrets.token_bytes(32)
        self._grants = {self._digest(sha256): grant for sha256, grant in grants.items()}
        self.limited = any(grant.allowance.limited for grant in grants.values())

    def grant_of(self, token: str) -> Grant:
        """Raises TokenInvalid."""
        digest = self._digest(hashlib.sha256(token.encode()).digest())
        grant = self._grants.get(digest)
        if grant is None:
            raise TokenInvalid("the server does not know this token; ask whoever runs it for a valid one")
        return grant

    def _digest(self, sha256: bytes) -> bytes:
        """Unpredictable to callers, so that looking it up takes a time that tells them nothing."""
        return hmac.digest(self._key, sha256, "sha256")


def read_tokens(path: Path) -> Tokens:
    """Raises UnusableFile."""
    where = named("tokens", path)
    try:
        lines = read("tokens", path).decode().splitlines()
    except UnicodeDecodeError as error:
        raise UnusableFile(f"{where}: is not text; write one token a line: {_EXAMPLE}") from error
    grants: dict[bytes, Grant] = {}
    for number, line in enumerate(lines, 1):
        words = line.split(maxsplit=2)
        if not words or words[0].startswith("#"):
            continue
        sha256, role = _entry(words, f"{where}, line {number}")
        if sha256 in grants:
            raise UnusableFile(f"{where}, line {number}: this token is in the file already; keep one of the lines")
        allowance, note = _allowance(words[2] if len(words) > 2 else "", role, f"{where}, line {number}")
        name = hashlib.blake2b(sha256, digest_size=8).hexdigest()
        grants[sha256] = Grant(role, note or role.value, allowance, name)
    if not grants:
        raise UnusableFile(f"{where}: holds no token, so that nobody could call; write one a line: {_EXAMPLE}")
    return Tokens(grants)


def _allowance(rest: str, role: Role, where: str) -> tuple[Allowance, str]:
    """Of what stands behind a token, and the note that is left."""
    given: dict[str, str] = {}
    while (found := _LIMIT.fullmatch(word := (rest.split(maxsplit=1) or [""])[0])) is not None:
        if found[1] not in ("models", "steps/s"):
            raise UnusableFile(f"{where}: {found[1]}= is no limit; write models=NAME,NAME or steps/s=NUMBER before the note")
        if found[1] in given:
            raise UnusableFile(f"{where}: {found[1]}= is there twice; write it once")
        given[found[1]] = found[2]
        rest = rest.strip()[len(word) :]
    if given and role is Role.ADMIN:
        raise UnusableFile(f"{where}: a token of the role admin may use everything; take {' and '.join(given)} away")
    models = _models(given["models"], where) if "models" in given else ()
    return Allowance(models, _rate(given["steps/s"], where) if "steps/s" in given else None), rest.strip()


def _models(text: str, where: str) -> tuple[str, ...]:
    models = tuple(text.split(","))
    for name in models:
        try:
            check_model_name(name.removesuffix("*") or ("any" if name == "*" else ""))
        except InvalidInput as error:
            raise UnusableFile(f"{where}: models={text} is not names of models, such as digits,speech-*: {error}") from error
    return models


def _rate(text: str, where: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0.0 < rate <= _MOST_STEPS_PER_SECOND:
        raise UnusableFile(f"{where}: steps/s={text} is not a number of time steps a second above 0, such as 50000")
    return rate


def _entry(words: list[str], where: str) -> tuple[bytes, Role]:
    """Sentences name the line, never the token."""
    roles = {role.value: role for role in Role}
    if len(words) < 2 or words[0] not in roles:
        raise UnusableFile(f"{where}: is not a role and a token; write {_EXAMPLE}")
    role, token = roles[words[0]], words[1]
    if token.startswith("sha256:"):
        hashed = _HASHED.fullmatch(token)
        if hashed is None:
            raise UnusableFile(f"{where}: sha256: is followed by 64 hexadecimal digits, as of: printf %s TOKEN | sha256sum")
        return bytes.fromhex(hashed[1]), role
    if not _TOKEN.fullmatch(token):
        raise UnusableFile(f"{where}: the token has characters that a request cannot carry; use letters, digits and -._~+/ alone")
    if len(token) < _SHORTEST:
        raise UnusableFile(f"{where}: the token is shorter than {_SHORTEST} characters and can be guessed; write {_EXAMPLE}")
    return hashlib.sha256(token.encode()).digest(), role
