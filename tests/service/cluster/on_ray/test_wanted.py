from __future__ import annotations

from dataclasses import replace

from cellserve.service.cluster.on_ray.wanted import Wanted

WANTED = Wanted(
    name="cellserve",
    command=("cellserve", "serve"),
    environment={"CELLSERVE_WORKERS": "2"},
    inside="/",
    folder="/logs",
    drain_seconds=20.0,
    replicas=2,
    most_replicas=4,
    waiting_timesteps=1000.0,
    fewer_after_seconds=600.0,
    tls=None,
    tls_name="localhost",
    address="",
    temporary="/tmp",
)


def test_what_is_told_is_what_is_read() -> None:
    for wanted in (WANTED, replace(WANTED, tls=("certificate", "key", "authority"))):
        assert Wanted.parse(wanted.text()) == wanted
