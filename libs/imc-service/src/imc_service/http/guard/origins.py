"""Origins of web pages (RFC 6454), compared by what they mean and not by how they are written."""

import ipaddress
from dataclasses import dataclass

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a page comes from. Without a scheme any will do; without a port that of the scheme is meant."""

    scheme: str | None
    host: str
    port: int | None

    def is_at(self, other: "Origin") -> bool:
        """Whether both may be one place: where one does not tell its scheme, that of the other counts."""
        if self.host != other.host or (self.scheme and other.scheme and self.scheme != other.scheme):
            return False
        return not self._ports(other.scheme).isdisjoint(other._ports(self.scheme))

    def _ports(self, scheme: str | None) -> frozenset[int]:
        if self.port is not None:
            return frozenset({self.port})
        known = self.scheme or scheme
        return frozenset({_PORTS[known]}) if known in _PORTS else frozenset(_PORTS.values())


def read_origin(text: str) -> Origin | None:
    """Read ``scheme://host:port``, or what some clients write and a Host header holds: ``host:port``.

    None where it is neither, as ``null`` is, which browsers send for pages without an origin.
    """
    before, separator, after = text.strip().partition("://")
    scheme, authority = (before.lower(), after) if separator else (None, before)
    if scheme is not None and scheme not in _PORTS:
        return None
    parted = split_port(authority.removesuffix("/") if scheme else authority)
    if parted is None or not parted[0] or "/" in parted[0] or authority.lower() == "null":
        return None
    return Origin(scheme, _canonical(parted[0]), parted[1])


def split_port(text: str) -> tuple[str, int | None] | None:
    """The host, without brackets, and the port of ``host``, ``host:port``, ``[v6]:port`` or a bare ``v6``.

    None where what should be the port is none.
    """
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            return None
        port = rest[1:]
    elif text.count(":") > 1:
        return text, None
    else:
        host, _, port = text.partition(":")
    if not port:
        return host, None
    if not (port.isascii() and port.isdigit() and int(port) <= 65_535):
        return None
    return host, int(port)


def _canonical(host: str) -> str:
    try:
        return ipaddress.ip_address(host).compressed
    except ValueError:
        return host.lower().removesuffix(".")
