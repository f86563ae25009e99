"""What is told in the log of aliases that fall back, for whoever runs the server. Decides nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from cellserve.service.registry.answering.pointers import stand_in_words, told_apart
from cellserve.service.registry.status import AliasStatus

log = logging.getLogger(__name__)


class FallbackTeller:
    """One line for each alias that falls back, and one when it is answered by its own version again."""

    def __init__(self) -> None:
        self._fallen_back: dict[str, AliasStatus] = {}

    def tell(self, aliases: Iterable[AliasStatus]) -> None:
        now = {one.name: one for one in told_apart(aliases)}
        for name, one in now.items():
            if self._fallen_back.get(name) != one:
                way_out = f"cellserve promote {one.model} VERSION" + (f" --alias {one.alias}" if one.alias else "")
                words = f"{stand_in_words(one)}, which {one.reason}"
                log.error("%s/%d %s. Promote a sound version: %s", one.model, one.answering, words, way_out)
        for name in self._fallen_back.keys() - now.keys():
            log.info("%s does not fall back any more", name)
        self._fallen_back = now
