"""Who a connection comes from, and how many come from there."""

import ipaddress
from collections import Counter
from collections.abc import Iterable

Headers = Iterable[tuple[bytes, bytes]]


class Proxies:
    """The proxies that are believed when they say for whom they speak."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(network, strict=False) for network in networks]

    def __contains__(self, address: str) -> bool:
        if not self._networks:
            return False
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        mapped = getattr(parsed, "ipv4_mapped", None) or parsed
        return any(mapped in network for network in self._networks)

    def client_of(self, headers: Headers, proxy: str) -> str:
        """Whom the proxy speaks for: the last address in X-Forwarded-For that is none of ours.

        What stands before it was written by that client, and may be anything.
        """
        forwarded = b",".join(value for name, value in headers if name == b"x-forwarded-for")
        for part in reversed(forwarded.decode("latin-1").split(",")):
            address = part.strip()
            if address and address not in self:
                return _short(address)
        return proxy


class Presence:
    """How many connections each address has; ``most`` is None where that is not limited."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._present: Counter[str] = Counter()

    def enter(self, address: str) -> bool:
        """Count one more; False, and uncounted, if there are too many."""
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


def _short(address: str) -> str:
    """As a key: what is no address at all is cut, so that nobody fills memory with it."""
    return address[:64]
