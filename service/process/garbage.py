"""When Python looks for garbage: reference counts free nearly all that requests make, so that it need look only seldom.

Knows nothing of what is served.
"""

from __future__ import annotations

import gc
from typing import Final

# Python's own are 700, 10, 10: with a thousand calls waiting, an eighth of the event loop's time
_THRESHOLDS: Final = (20_000, 20, 20)


def collect_seldom() -> None:
    """What the libraries made is never looked through: that would stop everything for a tenth of a second."""
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
