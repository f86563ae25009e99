"""What ends a load test."""

from __future__ import annotations


class ProcessDied(Exception):
    """One of the processes that send has ended without a word."""
