"""The file of tokens: which are known, what they are good for, and that they are never told."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cellserve.service.api.access.tokens import Role, read_tokens
from cellserve.service.errors import TokenInvalid
from cellserve.service.followed_files import UnusableFile

SHOP, ROOT = "shop-0123456789abcdef", "root-0123456789abcdef"


def file_of(folder: Path, text: str) -> Path:
    path = folder / "tokens"
    path.write_text(text)
    return path


def test_roles_comments_and_hashed_tokens(tmp_path: Path) -> None:
    hashed = hashlib.sha256(ROOT.encode()).hexdigest()
    tokens = read_tokens(file_of(tmp_path, f"# role token whose\n\n  infer\t{SHOP}   the web shop\nadmin sha256:{hashed}\r\n"))
    assert tokens.role_of(SHOP) is Role.INFER
    assert tokens.role_of(ROOT) is Role.ADMIN
    assert [tokens.grant_of(token).owner for token in (SHOP, ROOT)] == ["the web shop", "admin"]


@pytest.mark.parametrize(
    "guess", ["", SHOP[:-1], SHOP + "a", SHOP.upper(), f"sha256:{hashlib.sha256(SHOP.encode()).hexdigest()}", "ü"]
)
def test_what_is_not_in_the_file_is_invalid(tmp_path: Path, guess: str) -> None:
    tokens = read_tokens(file_of(tmp_path, f"infer {SHOP}"))
    with pytest.raises(TokenInvalid) as caught:
        tokens.role_of(guess)
    assert not guess or guess not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no token"),
        ("# only a remark\n", "holds no token"),
        (f"{SHOP}\n", "line 1: is not a role and a token"),
        (f"infer {SHOP}\nroot {ROOT}\n", "line 2: is not a role and a token"),
        ("\ninfer secret\n", "line 2: the token is shorter than 16 characters"),
        ("infer schlüssel-0123456789\n", "line 1: the token has characters"),
        ("admin sha256:abc\n", "line 1: sha256: is followed by 64"),
        (f"infer {SHOP}\nadmin {SHOP}\n", "line 2: this token is in the file already"),
        (
            f"infer {SHOP}\nadmin sha256:{hashlib.sha256(SHOP.encode()).hexdigest()}\n",
            "line 2: this token is in the file already",
        ),
    ],
)
def test_a_mistake_is_told_by_its_line_and_without_the_token(tmp_path: Path, text: str, told: str) -> None:
    path = file_of(tmp_path, text)
    with pytest.raises(UnusableFile) as caught:
        read_tokens(path)
    assert str(caught.value).startswith(f"--tokens {path}")
    assert told in str(caught.value)
    for secret in (SHOP, ROOT, "secret", "schlüssel"):
        assert secret not in str(caught.value)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UnusableFile, match="is not text"):
        read_tokens(path)
