"""The file of tokens: which are known, what they are good for, and that they are never told."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cellserve.service.api.access.allowances import Allowance
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
    assert tokens.grant_of(SHOP).role is Role.INFER
    assert tokens.grant_of(ROOT).role is Role.ADMIN
    assert [tokens.grant_of(token).owner for token in (SHOP, ROOT)] == ["the web shop", "admin"]


def test_what_a_token_may_use_stands_before_its_note(tmp_path: Path) -> None:
    text = f"infer {SHOP}  steps/s=5e4   models=digits,speech-*   the web  shop\ninfer {ROOT} models=*\n"
    tokens = read_tokens(file_of(tmp_path, text))
    shop, root = tokens.grant_of(SHOP), tokens.grant_of(ROOT)
    assert (shop.allowance, shop.owner) == (Allowance(("digits", "speech-*"), 50000.0), "the web  shop")
    assert [model for model in ("digits", "digits2", "speech-de", "speech", "other") if shop.allowance.allows(model)] == [
        "digits", "speech-de",
    ]  # fmt: skip
    assert (root.allowance.allows("anything"), root.owner) == (True, "infer")
    again = read_tokens(file_of(tmp_path, text))
    assert again.grant_of(SHOP).name == shop.name != root.name
    assert tokens.limited
    assert not read_tokens(file_of(tmp_path, f"infer {SHOP} of all models = any\n")).limited


@pytest.mark.parametrize(
    "guess", ["", SHOP[:-1], SHOP + "a", SHOP.upper(), f"sha256:{hashlib.sha256(SHOP.encode()).hexdigest()}", "ü"]
)
def test_what_is_not_in_the_file_is_invalid(tmp_path: Path, guess: str) -> None:
    tokens = read_tokens(file_of(tmp_path, f"infer {SHOP}"))
    with pytest.raises(TokenInvalid) as caught:
        tokens.grant_of(guess)
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
        (f"infer {SHOP} model=digits\n", "line 1: model= is no limit; write models=NAME,NAME or steps/s=NUMBER"),
        (f"infer {SHOP}\ninfer {ROOT} models=a models=b note\n", "line 2: models= is there twice"),
        (f"infer {SHOP} models= note\n", "line 1: models= is not names of models"),
        (f"infer {SHOP} models=a,,b\n", "line 1: models=a,,b is not names of models"),
        (f"infer {SHOP} models=a*b\n", "line 1: models=a*b is not names of models"),
        (f"infer {SHOP} steps/s=0\n", "line 1: steps/s=0 is not a number of time steps a second above 0"),
        (f"infer {SHOP} steps/s=nan\n", "line 1: steps/s=nan is not a number"),
        (f"infer {SHOP} steps/s=many\n", "line 1: steps/s=many is not a number"),
        (f"infer {SHOP}\nadmin {ROOT} models=digits\n", "line 2: a token of the role admin may use everything; take models away"),
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
