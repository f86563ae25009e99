"""What Ray is to keep running, as it is told across from one environment to the other. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Wanted:
    """name: of the application in Ray. command: of a server, but for its name, its address and whom it believes. environment: of
    a server; where Ray is another's, what of it comes beside that of its machine. inside: the folder that a server runs in, by
    which it understands what it is told. folder: of logs. drain_seconds: the longest
    that a server takes to end. replicas, most_replicas: how few and how many; alike where nothing is scaled. waiting_timesteps:
    that a server may have before there are more. fewer_after_seconds: for how long fewer must do before there are. tls: files of
    certificate, key and authority inside the cluster, or none, and the name that it says. address: of a Ray to join; empty: one
    is started. temporary: a folder with a short path, where that one is.
    """

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    inside: str
    folder: str
    drain_seconds: float
    replicas: int
    most_replicas: int
    waiting_timesteps: float
    fewer_after_seconds: float
    tls: tuple[str, ...] | None
    tls_name: str
    address: str
    temporary: str

    def text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Wanted:
        found: dict[str, Any] = json.loads(text)
        found["command"] = tuple(found["command"])
        found["tls"] = None if found["tls"] is None else tuple(found["tls"])
        return cls(**found)
