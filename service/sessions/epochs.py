"""The server's epochs: a token for each start. A feed's epoch tells whether its sequence can still be the one it means.

Pure; the history is kept on disk by durability.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

_REMEMBERED: Final = 1000


class Epochs:
    """earlier: those of former starts whose sequences were restored, oldest first."""

    def __init__(self, earlier: Sequence[str] = ()) -> None:
        self.current = secrets.token_hex(4)
        self.history = (*earlier[-_REMEMBERED:], self.current)
        self._order = {epoch: place for place, epoch in enumerate(self.history)}

    def includes(self, epoch: str, began: str) -> bool:
        """Whether a client that last heard `epoch` can mean a sequence that began in the epoch `began`."""
        place = self._order.get(epoch)
        return place is not None and place >= self._order.get(began, 0)
