"""What a measurement of `cellserve bench` was made with: command, date, machine, versions, and whether it was busy."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

_BUSY: Final = 1.2  # times as long as on an idle machine
_VERSIONS: Final = ("cellserve", "torch", "onnxruntime", "numpy", "python")


def facts(command: Sequence[str], machine: Mapping[str, str], busy: float) -> dict[str, Any]:
    """machine: as registry/machine.py tells it. busy: as Benchmark tells it."""
    return {
        "command": shlex.join(command),
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {name: machine[name] for name in ("host", "processor", "cores", "system")},
        "versions": {name: machine[name] for name in _VERSIONS},
        "busy": round(busy, 2),
    }


def busy_note(busy: float) -> str:
    """Empty where others hardly wanted the processor."""
    if busy <= _BUSY:
        return ""
    return f"the machine was busy: on the clock, calls took {busy:.1f} times the processor's time, which is what is told"


def lines(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What it was and its words, of `facts`."""
    machine = data["machine"]
    return [
        ("command", data["command"]),
        ("measured", data["measured"]),
        ("machine", f"{machine['host']}: {machine['processor']}, {machine['cores']} cores, {machine['system']}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in data["versions"].items())),
        ("load", busy_note(data["busy"]) or f"hardly any: calls took {data['busy']:.1f} times the processor's time"),
    ]
