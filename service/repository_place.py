"""Where a repository is, as a setting: a folder, or the URL of a place in an object store, or of one that can only be read.

Knows no client library.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_STORES: Final = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss")
_SHAPES: Final = "a folder, or s3://bucket/prefix, gs://bucket/prefix, az://container/prefix"


def url_of(text: str) -> str | None:
    """The URL of another place, without a slash at its end; None: it is a folder. Raises ValueError."""
    if not _URL.match(text) or (parts := urlsplit(text)).scheme == "file":
        return None
    if "@" in parts.netloc and (parts.password is not None or parts.scheme in ("s3", "s3a", "gs")):
        raise ValueError(f"the URL of a repository holds no password; write {_SHAPES}, and say who asks by the cloud's variables")
    if not (parts.netloc or (parts.path.strip("/") and not is_store(text))) or parts.query or parts.fragment:
        raise ValueError(f"this is not the URL of a repository; write {_SHAPES}")
    return text.rstrip("/")


def is_store(url: str) -> bool:
    """Whether it is one of those that can be written to; of the others whoever opens them says whether they can be read."""
    return urlsplit(url).scheme in _STORES


def folder_of(text: str) -> Path:
    """Of what is no object store. Raises ValueError."""
    if not _URL.match(text):
        return Path(text)
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise ValueError("a file:// URL names a folder of this machine: file:///srv/models")
    return Path(unquote(parts.path))


def mirror_name(url: str) -> str:
    """Of the folder in which it is seen: its own, and readable."""
    return f"{re.sub(r'[^A-Za-z0-9]+', '-', url)[:64].strip('-')}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"
