"""Reads the roster in pages: the gateways of all nodes, by appId and gatewayId."""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson
from imc_contracts import names
from imc_contracts.operator_views import ConnectedGateway, LastClose
from imc_contracts.roster import Member, bounds_of, close_field, read_close_field, read_member
from imc_service import presence
from imc_service.pages import Page
from imc_service.redis.masters import Argument, Masters

from imc_push_node.cluster.roster import HOUR_SECONDS

CHUNK = 64
"""Members that are read of each shard, or of each app, in one round."""

MOST_ROUNDS = 50
"""After so many rounds a page ends, even if it is not full: the next one goes on from there."""

_Command = tuple[str, Sequence[Argument]]


@dataclass(frozen=True, slots=True)
class _Range:
    """Members of a sorted set, between two bounds; None is without a bound."""

    key: str
    begin: bytes | None = None
    end: bytes | None = None

    def command(self, after: bytes | None, count: int) -> tuple[str, Sequence[Argument]]:
        """What reads the first members in the range that come after one of them."""
        begin = max((each for each in (self.begin, after) if each is not None), default=None)
        low = b"-" if begin is None else b"(" + begin
        high = b"+" if self.end is None else b"(" + self.end
        return self.key, ("ZRANGEBYLEX", self.key, low, high, "LIMIT", 0, count)


def _ranges(apps: Collection[str] | None, key_of: Callable[[int], str]) -> list[_Range]:
    """What some apps, or all if that is None, have in the sorted sets of the shards."""
    if apps is None:
        return [_Range(key_of(shard)) for shard in range(names.SHARDS)]
    return [_Range(key_of(names.shard_of(app_id)), *bounds_of(app_id)) for app_id in apps]


class RosterPages:
    """The place in its lists is a member, or the field of a gateway that was closed.

    Raises what redis-py raises.
    """

    def __init__(self, masters: Masters) -> None:
        self._masters = masters

    async def page(
        self,
        apps: Collection[str] | None,
        node: str | None,
        after: bytes | None,
        limit: int,
        *,
        is_behind: bool = False,
    ) -> Page[ConnectedGateway, bytes]:
        """At most ``limit`` gateways after a member: of some apps, or of all if that is None.

        ``node``: only those on the node with this address, or this id. ``is_behind``: only those that are
        behind their log.
        """
        addresses = await presence.running(self._masters)
        wanted = {
            process: address for process, address in addresses.items() if node in (None, address, process)
        }
        if not wanted:
            return Page([], None)
        ranges = _ranges(apps, names.behind if is_behind else names.roster)

        def is_wanted(encoded: bytes) -> bool:
            member = read_member(encoded)
            return member is not None and member.process in wanted

        found, rest = await self._first(ranges, after, limit, is_wanted)
        members = [member for member in map(read_member, found) if member is not None]
        return Page(await self._views(members, wanted), rest)

    async def closed_page(
        self, apps: Collection[str] | None, node: str | None, after: bytes | None, limit: int
    ) -> Page[ConnectedGateway, bytes]:
        """The same of gateways that were closed within the last hour, and are not connected again."""
        running = await presence.running(self._masters)
        hour = int(time.time() // HOUR_SECONDS)
        ranges = [
            each
            for of_hour in (hour, hour - 1)
            for each in _ranges(apps, lambda shard, of_hour=of_hour: names.closed(shard, of_hour))
        ]
        found: list[tuple[bytes, ConnectedGateway]] = []
        position = after
        for _ in range(MOST_ROUNDS):
            fields, position = await self._first(ranges, position, limit, lambda _: True)
            found += await self._closed(fields, node, running)
            if position is None or len(found) >= limit:
                break
        if len(found) > limit:
            position = found[limit - 1][0]
        return Page([gateway for _, gateway in found[:limit]], position)

    async def nodes_of(self, app_id: str, gateway_id: str) -> set[str]:
        """The processes that have connections of a gateway."""
        running = await presence.running(self._masters)
        found = _Range(names.roster(names.shard_of(app_id)), *bounds_of(app_id, gateway_id))
        [encoded] = await self._read([found], None, CHUNK)
        members = map(read_member, encoded)
        return {member.process for member in members if member is not None and member.process in running}

    async def _first(
        self, ranges: Sequence[_Range], after: bytes | None, limit: int, is_wanted: Callable[[bytes], bool]
    ) -> tuple[list[bytes], bytes | None]:
        """The first members that are wanted, in order; and after which one the rest begins."""
        found: list[bytes] = []
        position = after
        for _ in range(MOST_ROUNDS):
            parts = await self._read(ranges, position, CHUNK)
            # Beyond the end of a part that is full, the order is not known yet.
            position = min((part[-1] for part in parts if len(part) == CHUNK), default=None)
            known = {each for part in parts for each in part if position is None or each <= position}
            found += filter(is_wanted, sorted(known))
            if position is None or len(found) > limit:
                break
        if len(found) > limit:
            position = found[limit - 1]
        return found[:limit], position

    async def _read(self, ranges: Sequence[_Range], after: bytes | None, count: int) -> list[list[bytes]]:
        return await self._masters.all([each.command(after, count) for each in ranges])

    async def _views(self, members: Sequence[Member], addresses: dict[str, str]) -> list[ConnectedGateway]:
        commands: list[_Command] = []
        for member in members:
            rows = names.roster_rows(names.shard_of(member.app_id))
            commands.append((rows, ("HMGET", rows, member.encode())))
            commands += _newest_close(member.app_id, member.gateway_id)
        values = [value for [value] in await self._masters.all(commands)]
        found: list[ConnectedGateway] = []
        for member, row, *closes in zip(members, values[::3], values[1::3], values[2::3], strict=True):
            if row is not None:  # else it has left just now
                place = member.app_id, member.gateway_id, addresses[member.process]
                found.append(_view(*place, orjson.loads(row), _read_close(closes)))
        return found

    async def _closed(
        self, fields: Sequence[bytes], node: str | None, running: Collection[str]
    ) -> list[tuple[bytes, ConnectedGateway]]:
        """Those that are not back, each with its field. The others leave the sets: no need to look again."""
        are_back = await self._are_connected(fields, running)
        away = [each for each, is_back in zip(fields, are_back, strict=True) if not is_back]
        ids = list(map(read_close_field, away))
        values = await self._masters.all([command for pair in ids for command in _newest_close(*pair)])
        hour_ago = (time.time() - HOUR_SECONDS) * 1000
        found: dict[bytes, ConnectedGateway] = {}
        for encoded, pair, [now], [before] in zip(away, ids, values[::2], values[1::2], strict=True):
            close = _read_close((now, before))
            # After that close it may have been back, and have left in order.
            if close is not None and "row" in close and close["time"] >= hour_ago:
                found[encoded] = _view(*pair, close["node"], {**close["row"], "state": "closed"}, close)
        await self._masters.each(_removal([each for each in fields if each not in found]))
        return [pair for pair in found.items() if node in (None, pair[1]["node"])]

    async def _are_connected(self, fields: Sequence[bytes], running: Collection[str]) -> list[bool]:
        ids = map(read_close_field, fields)
        ranges = [_Range(names.roster(names.shard_of(pair[0])), *bounds_of(*pair)) for pair in ids]
        connections = [map(read_member, each) for each in await self._read(ranges, None, CHUNK)]
        return [
            any(member is not None and member.process in running for member in members)
            for members in connections
        ]


def _removal(fields: Sequence[bytes]) -> list[_Command]:
    """What takes gateways out of those that were closed in this hour and the one before."""
    hour = int(time.time() // HOUR_SECONDS)
    by_shard: defaultdict[int, list[bytes]] = defaultdict(list)
    for field in fields:
        by_shard[names.shard_of(read_close_field(field)[0])].append(field)
    return [
        (key, ("ZREM", key, *some))
        for shard, some in by_shard.items()
        for key in (names.closed(shard, hour), names.closed(shard, hour - 1))
    ]


def _newest_close(app_id: str, gateway_id: str) -> list[_Command]:
    """What reads how the newest connection of a gateway ended, in this hour and the one before."""
    shard, hour = names.shard_of(app_id), int(time.time() // HOUR_SECONDS)
    keys = [names.closes(shard, each) for each in (hour, hour - 1)]
    return [(key, ("HMGET", key, close_field(app_id, gateway_id))) for key in keys]


def _read_close(values: Sequence[bytes | None]) -> dict[str, Any] | None:
    return next((orjson.loads(value) for value in values if value is not None), None)


def _view(
    app_id: str, gateway_id: str, node: str, row: dict[str, Any], close: dict[str, Any] | None
) -> ConnectedGateway:
    place = {"appId": app_id, "gatewayId": gateway_id, "node": node}
    # Rows that nodes of an older version wrote have neither: these nodes have WebSockets that get all groups.
    more = {"transport": row.get("transport", "websocket"), "groupsHeld": row.get("groupsHeld")}
    last = close and LastClose(code=close["code"], reason=close["reason"], time=close["time"])
    return cast(ConnectedGateway, {**place, **row, **more, "lastClose": last})
