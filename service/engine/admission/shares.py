"""What each client has under way on one worker, and so what part of all that comes before its next sequence.

Clients have turns by work, not by the number of their requests (start-time fair queueing; Goyal, Vin and Cheng, 1996): a
sequence's turn comes when its client would have got so far if all that have work under way shared the worker evenly. Whoever
sends little is hardly delayed by whoever sends much. Knows no queue and no connection: a client is a name. Belongs to the
submitting side, but for `end`.
"""

from __future__ import annotations

from collections import deque


class Shares:
    def __init__(self) -> None:
        self._under_way_seconds: dict[str, float] = {}
        self._served_seconds: dict[str, float] = {}  # on the caller's clock: when what each has sent so far would be through
        self._ended: deque[tuple[str, float]] = deque()  # written by the worker's thread

    def part_ahead(self, client: str, seconds: float) -> float:
        """Which part, at most, of what is under way comes before `seconds` more work of this client."""
        self._settle()
        under_way = self._under_way_seconds
        whole = sum(under_way.values())
        if whole <= 0.0 or (len(under_way) == 1 and client in under_way):
            return 1.0
        mine = under_way.get(client, 0.0) + seconds
        return sum([min(others, mine) for others in under_way.values()]) / whole

    def turn_seconds(self, client: str, seconds: float, now_seconds: float) -> float:
        """Books that much more work of this client; when its turn comes."""
        self._settle()
        turn = max(now_seconds, self._served_seconds.get(client, now_seconds))
        self._under_way_seconds[client] = self._under_way_seconds.get(client, 0.0) + seconds
        self._served_seconds[client] = turn + seconds * len(self._under_way_seconds)
        return turn

    def withdraw(self, client: str, seconds: float) -> None:
        """Work that was booked and not begun."""
        self._take_off(client, seconds)

    def end(self, client: str, seconds: float) -> None:
        """Work that was booked is over. The worker's thread."""
        self._ended.append((client, seconds))

    def _settle(self) -> None:
        ended = self._ended
        while ended:
            self._take_off(*ended.popleft())

    def _take_off(self, client: str, seconds: float) -> None:
        left = self._under_way_seconds.get(client, 0.0) - seconds
        if left > 1e-9:
            self._under_way_seconds[client] = left
        else:
            self._under_way_seconds.pop(client, None)
            self._served_seconds.pop(client, None)  # whoever has nothing under way owes nothing
