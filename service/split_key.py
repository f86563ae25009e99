"""The metadata by which a client keys its calls: those of one key get the same version of an alias that is split."""

from __future__ import annotations

from typing import Final

SPLIT_KEY: Final = "cellserve-split-key"
LONGEST_SPLIT_KEY: Final = 256
