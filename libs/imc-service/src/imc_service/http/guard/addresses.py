"""Where a connection comes from, and how many come from there."""

import ipaddress
from collections import Counter
from collections.abc import Iterable

from imc_service.http.guard.origins import split_port

Headers = Iterable[tuple[bytes, bytes]]


class Proxies:
    """The proxies whose X-Forwarded-For is trusted."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(network, strict=False) for network in networks]

    def __contains__(self, address: str) -> bool:
        parsed = _parse(address) if self._networks else None
        return parsed is not None and any(parsed in network for network in self._networks)

    def client_of(self, headers: Headers, proxy: str) -> str:
        """The client behind a proxy: the last address in X-Forwarded-For that is no trusted proxy.

        The addresses before it were written by that client, and may be anything. Returns an `address_key`.
        """
        forwarded = b",".join(value for name, value in headers if name == b"x-forwarded-for")
        for part in reversed(forwarded.decode("latin-1").split(",")):
            address = part.strip()
            if address and address not in self:
                return address_key(address)
        return address_key(proxy)


class Presence:
    """How many connections each address has. ``most`` is None if that is not limited."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._present: Counter[str] = Counter()

    def enter(self, address: str) -> bool:
        """Count one more. Returns False, and counts none, if there are too many."""
        if self._most is None:
            return True
        if self._present[address] >= self._most:
            return False
        self._present[address] += 1
        return True

    def leave(self, address: str) -> None:
        """Count one less of those that entered."""
        if self._most is None:
            return
        self._present[address] -= 1
        if self._present[address] <= 0:
            del self._present[address]


class Visitor:
    """The client of a connection, as it is counted."""

    def __init__(self, presence: Presence, proxies: Proxies, peer: str) -> None:
        self._presence = presence
        self._proxies = proxies
        self._peer = peer
        self._counted: str | None = None
        self.is_proxy = peer in proxies
        """Whether it is a trusted proxy, whose clients are counted per request."""

    def connect(self) -> bool:
        """Count the connection, unless it is a proxy's. Returns False if there are too many."""
        return self.is_proxy or self._enter(address_key(self._peer))

    def request(self, headers: Headers) -> bool:
        """Count the client behind a proxy. Returns False if it has too many."""
        return not self.is_proxy or self._enter(self._proxies.client_of(headers, self._peer))

    def end_request(self) -> None:
        """Stop counting the client behind a proxy."""
        if self.is_proxy:
            self.leave()

    def leave(self) -> None:
        """Stop counting."""
        counted, self._counted = self._counted, None
        if counted is not None:
            self._presence.leave(counted)

    def _enter(self, address: str) -> bool:
        self.leave()
        if not self._presence.enter(address):
            return False
        self._counted = address
        return True


def address_key(address: str) -> str:
    """The key under which connections from ``address`` are counted, in whatever form it is written.

    For IPv6 it is the network of 64 bits, which usually belongs to one host (RFC 4291, section 2.5.1). A text
    that is no address is cut, so that it can't fill the memory.
    """
    parsed = _parse(address)
    if parsed is None:
        return address[:64]
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))


def _parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address with or without quotes, brackets, a port and a zone. IPv4 in IPv6 is read as IPv4."""
    parted = split_port(text.strip().strip('"'))
    try:
        parsed = ipaddress.ip_address((parted[0] if parted else text).partition("%")[0])
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed
