"""What the server says of itself on its metrics page while a load is sent: read each second by a thread. Knows no client."""

from __future__ import annotations

import re
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

_LINE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{[^\n]*\})? (?P<value>\S+)")
_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Moment:
    """Between two looks at the page. None: the server does not say. seconds: of the second look, on `time.perf_counter`."""

    seconds: float
    cpu_cores: float | None
    resident_bytes: float | None
    rows: float | None  # of an iteration, mean
    padding_ratio: float | None  # of rows times steps, mean
    waiting_steps: float | None


def sums(page: str) -> dict[str, float]:
    """By name of the series, over all its labels."""
    totals: dict[str, float] = defaultdict(float)
    for line in page.splitlines():
        if (found := _LINE.match(line)) is not None:
            totals[found["name"]] += float(found["value"])
    return dict(totals)


def moment(seconds: float, elapsed_seconds: float, before: Mapping[str, float], after: Mapping[str, float]) -> Moment:
    """Of two pages' sums. Pure."""

    def grown(name: str) -> float | None:
        return after[name] - before.get(name, 0.0) if name in after else None

    def mean(name: str) -> float | None:
        count, total = grown(f"{name}_count"), grown(f"{name}_sum")
        return total / count if count and total is not None else None

    cpu = grown("process_cpu_seconds_total") if "process_cpu_seconds_total" in before else None
    return Moment(
        seconds,
        None if cpu is None else cpu / elapsed_seconds,
        after.get("process_resident_memory_bytes"),
        mean("cellserve_iteration_rows"),
        mean("cellserve_iteration_padding_ratio"),
        after.get("cellserve_waiting_timesteps"),
    )


class ServerWatch:
    """`with ServerWatch(url) as watch:` looks for as long as the block runs. failures: looks that got no page."""

    def __init__(self, metrics_url: str | None, every_seconds: float = 1.0) -> None:
        """metrics_url None: nothing is looked at."""
        self._url = metrics_url
        self._every_seconds = every_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="server-watch", daemon=True)
        self.moments: list[Moment] = []
        self.failures = 0

    def __enter__(self) -> Self:
        if self._url is not None:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        if self._url is not None:
            self._thread.join()

    def _look_on(self) -> None:
        last: tuple[float, dict[str, float]] | None = None
        while True:
            over = self._over.wait(self._every_seconds if last else 0.0)
            found = self._look()
            if found is not None:
                if last is not None:
                    self.moments.append(moment(found[0], found[0] - last[0], last[1], found[1]))
                last = found
            if over:
                return
            if found is None:
                self._over.wait(self._every_seconds)

    def _look(self) -> tuple[float, dict[str, float]] | None:
        assert self._url is not None
        try:
            with urllib.request.urlopen(self._url, timeout=_TIMEOUT_SECONDS) as page:
                return time.perf_counter(), sums(page.read().decode())
        except (OSError, ValueError):
            self.failures += 1
            return None
