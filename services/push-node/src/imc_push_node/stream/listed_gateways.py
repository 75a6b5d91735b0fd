"""The gateways of an app that get only the events of groups that they list.

They are found by group, so that an event costs what it has listeners, not what there are gateways.
"""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice

from imc_contracts.codes import ErrorCode
from imc_contracts.cursor import Cursor
from imc_contracts.errors import Refused
from imc_contracts.fields import MAX_GROUPS
from prometheus_client import Gauge

from imc_push_node.gateway import frames
from imc_push_node.gateway.gateway import Gateway, State
from imc_push_node.stream.framed_entries import FramedEntries

MOST_NODE_GROUPS = 4_000_000
"""They take 400 MB to 1.2 GB."""

GROUPS_A_STEP = 2000
"""So many groups of a gateway that has left are forgotten before other work has its turn."""

RETRY_SECONDS = 10
"""After so long a gateway may try again to add groups that the node has no room for."""


class GroupRoom:
    """How many groups the gateways of a node may hold together. A group of two gateways counts twice."""

    def __init__(self, most: int = MOST_NODE_GROUPS, gauge: Gauge | None = None) -> None:
        """``gauge`` shows how many are held."""
        if gauge is not None:
            gauge.set_function(lambda: self.held)
        self._most = most
        self.held = 0

    def take(self, count: int) -> None:
        """Take room for ``count`` more, or give room back if it is negative.

        Raises `Refused` (`UNAVAILABLE`) if there is not so much.
        """
        if count > 0 and self.held + count > self._most:
            reason = f"the gateways of this node hold all {self._most} groups that it has room for: try again"
            raise Refused(ErrorCode.UNAVAILABLE, reason, retry_after=RETRY_SECONDS)
        self.held += count


class ListedGateways:
    """Those of one app on one node, by the groups that they hold."""

    def __init__(self, room: GroupRoom) -> None:
        self._room = room
        self._all: dict[Gateway, None] = {}
        self._holders: dict[str, Gateway | set[Gateway]] = {}
        """Who holds each group. A set takes ten times the memory of the one gateway that most groups have."""
        self._heard: set[Gateway] = set()

    def __len__(self) -> int:
        return len(self._all)

    def enter(self, gateway: Gateway) -> None:
        """Take in a gateway that holds no groups yet."""
        self._all[gateway] = None

    def leave(self, gateway: Gateway) -> None:
        """Let a gateway go."""
        held = gateway.groups or ()
        del self._all[gateway]
        self._heard.discard(gateway)
        self._forget(gateway, iter(held))

    def hold(self, gateway: Gateway, add: Collection[str], remove: Collection[str]) -> None:
        """Remove groups from those that a gateway holds, then add some.

        Raises `Refused` with nothing changed: `INVALID_FIELD` if it would hold more than `MAX_GROUPS`,
        `UNAVAILABLE` if the node has no room.
        """
        held = gateway.groups or set[str]()
        added = {group_id for group_id in add if group_id not in held}
        removed = held.intersection(remove).difference(add)
        more = len(added) - len(removed)
        if len(held) + more > MAX_GROUPS:
            reason = (
                f"addGroups has too many entries: a gateway may hold {MAX_GROUPS} groups, and would hold "
                f"{len(held) + more}; remove some, or let more gateways share them"
            )
            raise Refused(ErrorCode.INVALID_FIELD, reason)
        self._room.take(more)
        self._let_go(gateway, removed)
        for group_id in added:
            holders = self._holders.setdefault(group_id, gateway)
            if isinstance(holders, set):
                holders.add(gateway)
            elif holders is not gateway:
                self._holders[group_id] = {holders, gateway}
        gateway.hold(added, removed)

    def write(self, framed: FramedEntries) -> int:
        """Write to live gateways the entries of their groups; returns how many pushes that were."""
        number = 0
        for gateway, places in self._places(framed.group_ids).items():
            if gateway.state is State.LIVE:
                pushes, count = framed.at(places, gateway.format)
                if count:
                    gateway.socket.write(pushes)
                    self._heard.add(gateway)
                    number += count
        return number

    def tell_live(self, position: Cursor, frame: bytes) -> int:
        """Tell all live gateways a position; returns how many these are."""
        live = [gateway for gateway in self._all if gateway.state is State.LIVE]
        for gateway in live:
            gateway.tell(position, frame)
        return len(live)

    def tell_positions(self, head: Cursor) -> None:
        """Tell gateways up to where they have everything, by 2008, if they got no push since the last call.

        Without it, one that holds quiet groups would resume from far back. ``head``: what live ones have.
        """
        heard, self._heard = self._heard, set()
        for gateway in self._all.keys() - heard:
            position = _untold_position(gateway, head)
            if position is not None and not gateway.socket.is_full:
                gateway.tell(position, frames.position(position))

    def owes_positions(self, head: Cursor) -> bool:
        """Whether `tell_positions` has something to tell, now or the next time."""
        return any(_untold_position(gateway, head) is not None for gateway in self._all)

    def _places(self, group_ids: Sequence[str | None]) -> Mapping[Gateway, list[int]]:
        """Of events of these groups, the places of those that each gateway gets. All get one of no group."""
        found: dict[Gateway, list[int]] = {}
        for place, group_id in enumerate(group_ids):
            holders = self._all if group_id is None else self._holders.get(group_id, ())
            for gateway in (holders,) if isinstance(holders, Gateway) else holders:
                found.setdefault(gateway, []).append(place)
        return found

    def _forget(self, gateway: Gateway, group_ids: Iterator[str]) -> None:
        """Let go of the groups of a gateway that has left, in steps. Nothing is written to it meanwhile."""
        some = list(islice(group_ids, GROUPS_A_STEP))
        self._let_go(gateway, some)
        self._room.take(-len(some))
        if len(some) == GROUPS_A_STEP:
            asyncio.get_running_loop().call_soon(self._forget, gateway, group_ids)

    def _let_go(self, gateway: Gateway, group_ids: Collection[str]) -> None:
        for group_id in group_ids:
            holders = self._holders[group_id]
            if isinstance(holders, set) and len(holders) > 1:
                holders.discard(gateway)
            else:
                del self._holders[group_id]


def _untold_position(gateway: Gateway, head: Cursor) -> Cursor | None:
    """Up to where a gateway has everything, if it has listed its groups and was not told so."""
    if not gateway.has_listed:
        return None
    position = head if gateway.state is State.LIVE else gateway.position
    return None if position == gateway.told else position
