"""The roster: the gateways that are connected, on all nodes, in a few keys for each shard.

A member of the sorted set names a connection: its app, its gatewayId, the process that holds it, and a number
within that process. Members sort by their bytes, so that pages need no other index. A hash has what is known
of each member. A member counts only while its process is running. Those that are behind their log are in a
sorted set of their own too.

How connections ended is kept by gateway, not by connection, for an hour or two. It does not depend on the
process that wrote it.
"""

from typing import NamedTuple

_END = "\0"
"""Ends each part of a member but the last. No id holds it, and all characters of ids sort after it."""

_AFTER_END = "\1"


class Member(NamedTuple):
    """A connection of a gateway: the process that holds it, and its number there."""

    app_id: str
    gateway_id: str
    process: str
    number: int

    def encode(self) -> bytes:
        """The member as it is in the roster."""
        return _END.join(map(str, self)).encode()


def read_member(encoded: bytes) -> Member | None:
    """The inverse of `Member.encode`; None for anything else."""
    match encoded.decode("utf-8", "replace").split(_END):
        case [app_id, gateway_id, process, number] if number.isdecimal():
            return Member(app_id, gateway_id, process, int(number))
        case _:
            return None


def bounds_of(app_id: str, gateway_id: str | None = None) -> tuple[bytes, bytes]:
    """Between which members those of an app, or of one of its gateways, are; both are no members."""
    begin = app_id if gateway_id is None else app_id + _END + gateway_id
    return (begin + _END).encode(), (begin + _AFTER_END).encode()


def close_field(app_id: str, gateway_id: str) -> bytes:
    """The field of a gateway in the hash of closes."""
    return f"{app_id}{_END}{gateway_id}".encode()


def read_close_field(encoded: bytes) -> tuple[str, str]:
    """The appId and the gatewayId of a `close_field`."""
    app_id, _, gateway_id = encoded.decode("utf-8", "replace").partition(_END)
    return app_id, gateway_id
