"""Which master of a cluster holds which slots, as a node tells it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.crc import key_slot

from imc_service.redis.url import Address

__all__ = ["SLOTS", "SlotTable", "announced", "of_shards", "of_slots", "slot_of"]

_UNKNOWN = ("", "?")


@dataclass(frozen=True)
class SlotTable:
    """``ranges`` are the first slot, the last one and their master; ``up`` are nodes that are not down."""

    ranges: tuple[tuple[int, int, Address], ...]
    up: frozenset[Address] = field(compare=False)

    @property
    def uncovered(self) -> int:
        """How many slots have no master that is up."""
        return SLOTS - sum(last - first + 1 for first, last, master in self.ranges if master in self.up)


def slot_of(key: str) -> int:
    """The slot of a key: 0 to `SLOTS` - 1."""
    return key_slot(key.encode())


def announced(host: str | bytes | None, port: int, asked: Address) -> Address:
    """The address of a node as another one at ``asked`` tells it.

    A node that does not know its own address is where we asked it.
    """
    name = host.decode() if isinstance(host, bytes) else host or ""
    return (asked[0] if name in _UNKNOWN else name, port)


def of_shards(reply: Iterable[Mapping[bytes, Any]], asked: Address, *, is_tls: bool) -> SlotTable:
    """The table in a reply to CLUSTER SHARDS (Redis 7.0)."""
    ranges: list[tuple[int, int, Address]] = []
    up: set[Address] = set()
    for shard in reply:
        masters: list[tuple[bool, Address]] = []
        for node in shard[b"nodes"]:
            port = node.get(b"tls-port" if is_tls else b"port")
            if port is None:
                continue
            endpoint = node.get(b"endpoint")
            if endpoint in (b"?", b""):  # asked to prefer its name, it has none
                endpoint = node.get(b"ip")
            address = announced(endpoint, int(port), asked)
            is_up = node[b"health"] == b"online"
            if is_up:
                up.add(address)
            if node[b"role"] == b"master":
                masters.append((is_up, address))
        if masters:
            # A master that has failed may stand beside the one that took its place.
            _, master = max(masters, key=lambda each: each[0])
            slots = [int(slot) for slot in shard[b"slots"]]
            ranges += [(first, last, master) for first, last in zip(slots[::2], slots[1::2], strict=True)]
    return SlotTable(tuple(sorted(ranges)), frozenset(up))


def of_slots(reply: Iterable[Any], asked: Address) -> SlotTable:
    """The table in a reply to CLUSTER SLOTS, which servers before Redis 7.0 know too."""
    ranges: list[tuple[int, int, Address]] = []
    up: set[Address] = set()
    for first, last, *members in reply:
        addresses = [announced(host, int(port), asked) for host, port, *_ in members]
        ranges.append((int(first), int(last), addresses[0]))
        up.update(addresses)
    return SlotTable(tuple(sorted(ranges)), frozenset(up))
