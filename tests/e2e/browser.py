"""A real browser without a screen, for pages that commands write and servers show.

Skips the test where there is none (Debian: chromium).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_LIMIT_SECONDS = 300


def drawn(page: Path | str) -> str:
    """The document as the browser has it once it is loaded. page: a file, or a URL."""
    return _run(page, "--dump-dom")


def height(page: Path, width: int) -> int:
    """Of a whole page at a width, in pixels."""
    measured = page.with_name(f"measured-{page.name}")
    script = "<script>onload = () => { document.title = document.documentElement.scrollHeight }</script>"
    measured.write_text(page.read_text() + script)
    found = re.search(r"<title>(\d+)</title>", _run(measured, "--dump-dom", f"--window-size={width},600"))
    assert found is not None
    return int(found[1])


def picture(page: Path | str, png: Path, *, dark: bool = False, width: int = 1360, height: int = 3000) -> bytes:
    """A screenshot, written to `png`."""
    scheme = ("--blink-settings=preferredColorScheme=0",) if dark else ()
    _run(page, f"--screenshot={png}", f"--window-size={width},{height}", "--hide-scrollbars", *scheme)
    return png.read_bytes()


def _run(page: Path | str, *options: str) -> str:
    browser = next(filter(None, map(shutil.which, _NAMES)), None)
    if browser is None:
        pytest.skip(f"no browser: none of {', '.join(_NAMES)} is installed")
    where = page if isinstance(page, str) else page.resolve().as_uri()
    command = (browser, "--headless", "--no-sandbox", "--disable-gpu", *options, where)
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=_LIMIT_SECONDS).stdout
