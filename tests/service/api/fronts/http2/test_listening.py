"""Sockets that listen: on every address of a name, on one port, or told why not."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cellserve.service.api.fronts.http2.listening import listen
from cellserve.service.api.fronts.options import CannotListen


@contextmanager
def listening(host: str, port: int = 0) -> Iterator[list[socket.socket]]:
    sockets = listen(host, port)
    try:
        yield sockets
    finally:
        for one in sockets:
            one.close()


def port_of(sockets: list[socket.socket]) -> int:
    port: int = sockets[0].getsockname()[1]
    return port


def reach(host: str, port: int) -> None:
    with socket.create_connection((host, port), timeout=60):
        pass


def test_the_system_chooses_a_port() -> None:
    with listening("127.0.0.1") as sockets:
        assert port_of(sockets) > 0
        reach("127.0.0.1", port_of(sockets))


def test_a_name_is_listened_on_at_all_its_addresses_on_one_port() -> None:
    addresses = {info[4][0] for info in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
    with listening("localhost") as sockets:
        assert {one.getsockname()[0] for one in sockets} == addresses
        assert {one.getsockname()[1] for one in sockets} == {port_of(sockets)}
        for address in addresses:
            reach(str(address), port_of(sockets))


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_address_of_six_with_and_without_brackets(host: str) -> None:
    with listening(host) as sockets:
        reach("::1", port_of(sockets))
        with pytest.raises(OSError):
            reach("127.0.0.1", port_of(sockets))


def test_any_address_of_six_takes_those_of_four_as_well() -> None:
    with listening("::") as sockets:
        reach("::1", port_of(sockets))
        reach("127.0.0.1", port_of(sockets))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_taken_port_is_told(host: str) -> None:
    with listening(host) as sockets, pytest.raises(CannotListen, match=f"{port_of(sockets)}: the port is taken"):
        listen(host, port_of(sockets))


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_of_another_machine_is_told(host: str) -> None:
    with pytest.raises(CannotListen, match="not one of this machine"):
        listen(host, 0)


def test_a_port_is_free_again_at_once_after_connections_of_before() -> None:
    with listening("127.0.0.1") as sockets:
        port = port_of(sockets)
        with socket.create_connection(("127.0.0.1", port), timeout=60):
            taken, _ = sockets[0].accept() if sockets[0].getblocking() else (_accepted(sockets[0]), None)
            taken.close()
    with listening("127.0.0.1", port) as sockets:
        reach("127.0.0.1", port)


def _accepted(listener: socket.socket) -> socket.socket:
    listener.setblocking(True)
    return listener.accept()[0]
