"""Reads the roster in pages: the gateways of all nodes, by appId and gatewayId."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson
from imc_contracts import names
from imc_contracts.operator_views import ConnectedGateway, LastClose
from imc_contracts.roster import Member, bounds_of, close_field, read_member
from imc_service import presence
from imc_service.redis.masters import Argument, Masters

from imc_push_node.cluster.roster import HOUR_SECONDS

CHUNK = 64
"""Members that are read of each shard, or of each app, in one round."""

MOST_ROUNDS = 50
"""After so many rounds a page ends, even if it is not full: the next one goes on from there."""


@dataclass(frozen=True, slots=True)
class Page:
    """Gateways, and the member after which the next page begins; None if this is the last one."""

    gateways: list[ConnectedGateway]
    next: bytes | None


@dataclass(frozen=True, slots=True)
class _Range:
    """Members of one shard, between two bounds; None is without a bound."""

    shard: int
    begin: bytes | None = None
    end: bytes | None = None

    def command(self, after: bytes | None, count: int) -> tuple[str, Sequence[Argument]]:
        """What reads the first members in the range that come after one of them."""
        key = names.roster(self.shard)
        begin = max((each for each in (self.begin, after) if each is not None), default=None)
        low = b"-" if begin is None else b"(" + begin
        high = b"+" if self.end is None else b"(" + self.end
        return key, ("ZRANGEBYLEX", key, low, high, "LIMIT", 0, count)


class RosterPages:
    """Raises what redis-py raises."""

    def __init__(self, masters: Masters) -> None:
        self._masters = masters

    async def page(
        self, apps: Collection[str] | None, node: str | None, after: bytes | None, limit: int
    ) -> Page:
        """At most ``limit`` gateways after a member: of some apps, or of all if that is None.

        ``node``: only those on the node with this address, or this id.
        """
        addresses = await presence.running(self._masters)
        wanted = {
            process: address for process, address in addresses.items() if node in (None, address, process)
        }
        ranges = (
            [_Range(shard) for shard in range(names.SHARDS)]
            if apps is None
            else [_Range(names.shard_of(app_id), *bounds_of(app_id)) for app_id in apps]
        )
        members, rest = await self._members(ranges, wanted, after, limit)
        return Page(await self._views(members, wanted), rest)

    async def nodes_of(self, app_id: str, gateway_id: str) -> dict[str, int]:
        """The processes that have connections of a gateway, each with their number."""
        running = await presence.running(self._masters)
        found = _Range(names.shard_of(app_id), *bounds_of(app_id, gateway_id))
        [members] = await self._read([found], None, CHUNK)
        nodes: dict[str, int] = {}
        for member in map(read_member, members):
            if member is not None and member.process in running:
                nodes[member.process] = nodes.get(member.process, 0) + 1
        return nodes

    async def _members(
        self, ranges: Sequence[_Range], wanted: Collection[str], after: bytes | None, limit: int
    ) -> tuple[list[Member], bytes | None]:
        """Members in order, of processes that are wanted; and after which one the rest begins."""
        found: list[tuple[bytes, Member]] = []
        position = after
        for _ in range(MOST_ROUNDS if wanted else 0):
            parts = await self._read(ranges, position, CHUNK)
            # Beyond the end of a part that is full, the order is not known yet.
            position = min((part[-1] for part in parts if len(part) == CHUNK), default=None)
            known = sorted(each for part in parts for each in part if position is None or each <= position)
            for encoded in known:
                member = read_member(encoded)
                if member is not None and member.process in wanted:
                    found.append((encoded, member))
            if position is None or len(found) > limit:
                break
        else:
            position = position if wanted else None
        if len(found) > limit:
            position = found[limit - 1][0]
        return [member for _, member in found[:limit]], position

    async def _read(self, ranges: Sequence[_Range], after: bytes | None, count: int) -> list[list[bytes]]:
        return await self._masters.all([each.command(after, count) for each in ranges])

    async def _views(self, members: Sequence[Member], addresses: dict[str, str]) -> list[ConnectedGateway]:
        hour = int(time.time() // HOUR_SECONDS)
        commands: list[tuple[str, Sequence[Argument]]] = []
        for member in members:
            shard = names.shard_of(member.app_id)
            field = close_field(member.app_id, member.gateway_id)
            rows, closes = names.roster_rows(shard), [names.closes(shard, each) for each in (hour, hour - 1)]
            commands.append((rows, ("HMGET", rows, member.encode())))
            commands += [(key, ("HMGET", key, field)) for key in closes]
        values = [value for [value] in await self._masters.all(commands)]
        found: list[ConnectedGateway] = []
        for member, row, *closes in zip(members, values[::3], values[1::3], values[2::3], strict=True):
            if row is not None:  # else it has left just now
                last_close = next((orjson.loads(close) for close in closes if close is not None), None)
                found.append(_view(member, addresses[member.process], orjson.loads(row), last_close))
        return found


def _view(member: Member, address: str, row: dict[str, Any], close: LastClose | None) -> ConnectedGateway:
    place = {"appId": member.app_id, "gatewayId": member.gateway_id, "node": address}
    # Rows that nodes of an older version wrote have neither: these nodes have WebSockets that get all groups.
    more = {"transport": row.get("transport", "websocket"), "groupsHeld": row.get("groupsHeld")}
    return cast(ConnectedGateway, {**place, **row, **more, "lastClose": close})
