"""Asks a server whether it serves: `python -m cellserve.service.healthcheck [host:port]`, for containers' health checks.

Exit code 0 when it does, else 1 with a sentence on standard error. Without an argument it asks the port of the settings
on this machine.
"""

from __future__ import annotations

import sys

from cellserve.service.client import Client
from cellserve.service.config import Settings

TIMEOUT_SECONDS = 3.0


def main(arguments: list[str], timeout_seconds: float = TIMEOUT_SECONDS) -> int:
    url = arguments[0] if arguments else f"127.0.0.1:{Settings().port}"
    with Client(url) as client:
        if client.ready(timeout_seconds):
            return 0
    print(f"{url} did not say within {timeout_seconds:g} s that it serves", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
