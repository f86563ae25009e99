"""A look at a server from afar: its page of metrics, read over HTTP. Knows no series."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Final
from urllib.parse import urlsplit

from cellserve.service.overview.look import Look

_TIMEOUT_SECONDS: Final = 10.0
_PAGE: Final = "/metrics"


class NoAnswer(Exception):
    """There is no page of metrics; the sentence says where it was looked for, and what to do."""


def base_url(given: str) -> str:
    """Of `host:port`, a URL, or that of the page itself: the URL to which the names of pages are added."""
    url = (given if "://" in given else f"http://{given}").rstrip("/").removesuffix(_PAGE)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NoAnswer(f"{given!r} is not the address of a page of metrics; write one as in http://localhost:8002")
    return url


def look(url: str) -> Look:
    """url: as `base_url` gives it. Raises NoAnswer."""
    from prometheus_client.parser import text_string_to_metric_families

    page = _read(f"{url}{_PAGE}")
    seconds = time.monotonic()
    readiness = _read(f"{url}/readyz", also=(503,)).strip()
    try:
        found = Look.at(text_string_to_metric_families(page), seconds, readiness)
    except (ValueError, KeyError) as error:
        raise NoAnswer(f"{url}{_PAGE} is no page of metrics ({error}); is this the server's metrics port?") from error
    return found


def _read(url: str, also: tuple[int, ...] = ()) -> str:
    """also: statuses that are answers too."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as reply:
            return str(reply.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            if error.code in also:
                return error.read().decode()
        raise NoAnswer(f"{url} answers with {error.code} {error.reason}; is this the server's metrics port?") from error
    except (OSError, HTTPException, UnicodeDecodeError) as error:
        reason = getattr(error, "reason", error)
        raise NoAnswer(f"no answer from {url}: {reason}; --url takes the server's metrics port (--metrics-port)") from error
