"""What can go wrong with a cluster, in sentences for the person who started it."""

from __future__ import annotations


class ClusterFailed(Exception):
    """It cannot be started, or there is none where one was asked for."""
