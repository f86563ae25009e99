"""Sockets that listen: every address that a host name stands for, on one port."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import Final

from cellserve.service.api.fronts.options import CannotListen

BACKLOG: Final = 1024  # connections that wait to be taken


def listen(host: str, port: int) -> list[socket.socket]:
    """port 0: the system chooses one, the same for all. Raises CannotListen."""
    told = f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
    with ExitStack() as made:
        try:
            found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            sockets: list[socket.socket] = []
            for family, kind, protocol, _, address in dict.fromkeys(found):
                one = made.enter_context(socket.socket(family, kind, protocol))
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # after a restart, connections of before still fade
                if family == socket.AF_INET6:
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address[0] != "::"))
                chosen = sockets[0].getsockname()[1] if sockets else port
                one.bind((address[0], chosen, *address[2:]))
                one.listen(BACKLOG)  # and not only bound: a second server on the port would not notice otherwise
                one.setblocking(False)
                sockets.append(one)
        except OSError as error:
            raise CannotListen(
                f"cannot listen on {told}: the port is taken, or the address is not one of this machine"
            ) from error
        made.pop_all()
        return sockets
