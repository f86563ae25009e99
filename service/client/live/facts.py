"""What both kinds of live sequence tell of themselves. Pure; knows no server."""

from __future__ import annotations

from cellserve.service.client.live.sequence import Course


class SequenceFacts:
    """Read at any time, open or not."""

    def __init__(self, course: Course) -> None:
        self._course = course

    @property
    def model(self) -> str:
        return self._course.model

    @property
    def id(self) -> str:
        """By which attach finds it again."""
        return self._course.sequence_id

    @property
    def version(self) -> int:
        """That answers it, from its opening to its end; 0 before."""
        return self._course.version

    @property
    def position(self) -> int:
        """Time steps that the server is known to have consumed."""
        return self._course.position

    @property
    def epoch(self) -> str:
        """Of the server's memory, as of its last reply; empty before."""
        return self._course.epoch
