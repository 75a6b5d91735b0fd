"""The sockets that a process listens on."""

import contextlib
import ipaddress
import socket
import sys
from collections.abc import Generator

BACKLOG = 4096

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


@contextlib.contextmanager
def listening(host: str, port: int) -> Generator[list[socket.socket]]:
    """Listen as long as the context lasts: on each address of ``host``, which may be a name.

    ``::`` is all addresses of both families. Raises `SystemExit` with a message if the port can't be had.
    """
    with contextlib.ExitStack() as stack:
        try:
            sockets = [
                stack.enter_context(_listen(family, address)) for family, address in _addresses(host, port)
            ]
        except OSError as error:
            sys.exit(f"can't listen on {host} port {port}: {error.strerror}")
        yield sockets


def reachable(host: str) -> str:
    """An address at which a process that listens on ``host`` answers from this machine."""
    try:
        address = ipaddress.ip_address(host.strip("[]")).compressed
    except ValueError:
        return host
    if address == "::" and socket.has_dualstack_ipv6():
        return "127.0.0.1"
    return _ANY.get(address, address)


def _addresses(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
    found = socket.getaddrinfo(
        host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
    )
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))  # pyright: ignore


def _listen(family: int, address: tuple[str, int]) -> socket.socket:
    is_any = address[0] == "::" and socket.has_dualstack_ipv6()
    return socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=is_any)
