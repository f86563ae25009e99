"""Notifies an observer: a defect of the observer costs a log entry, never an answer. Knows no lanes and no workers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from cellserve.service.engine.facts import IterationFact, SequenceFact

log = logging.getLogger(__name__)

Fact = TypeVar("Fact", IterationFact, SequenceFact)


def notify(listener: Callable[[Fact], None], fact: Fact) -> None:
    """Does not raise."""
    try:
        listener(fact)
    except Exception:
        log.exception("%s: the observer failed on %r", fact.version, fact)
