"""What both clients assume where the caller says nothing."""

from __future__ import annotations

from typing import Final

DEFAULT_URL: Final = "localhost:8001"
DEFAULT_TIMEOUT_SECONDS: Final = 60.0
READY_TIMEOUT_SECONDS: Final = 5.0
