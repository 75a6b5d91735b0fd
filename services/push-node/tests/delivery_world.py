"""The delivery of one app in memory: its log, its gateways, and what each of them got."""

import json
from collections.abc import Sequence
from typing import Any

from imc_contracts.commands import ChangeGroups
from imc_contracts.cursor import Cursor, EntryId
from imc_contracts.events import Entry, Event, EventKind
from imc_push_node.gateway.gateway import Gateway, State
from imc_push_node.gateway.push_format import PushFormat
from imc_push_node.metrics import NodeMetrics
from imc_push_node.stream.delivery import Delivery
from imc_push_node.stream.framed_entries import FramedEntries
from imc_push_node.stream.listed_gateways import GroupRoom
from imc_service.auth.grant import EVERYTHING
from imc_testkit.memory_socket import MemorySocket
from prometheus_client import CollectorRegistry

START = 10
"""The entry at which a world begins."""

PUSHES = (2001, 2002, 2004, 2005, 2006)
SENT = EventKind.MESSAGE_SENT


def at(number: int, epoch: str = "line") -> Cursor:
    return Cursor(epoch, EntryId(number, 0))


def entry(number: int, group: str | None = None, kind: EventKind = SENT) -> Entry:
    body = {"n": number} if group is None else {"n": number, "groupId": group}
    return Event(kind, json.dumps(body, separators=(",", ":")).encode()).at(EntryId(number, 0))


def change(*add: str, remove: Sequence[str] = (), more: bool = False) -> ChangeGroups:
    fields = {"addGroups": list(add), "removeGroups": list(remove), "more": more}
    return ChangeGroups.model_validate(fields)


class World:
    """The delivery of an app, its log, and what its gateways got."""

    def __init__(self, *, has_archive: bool = True, room: GroupRoom | None = None) -> None:
        self.registry = CollectorRegistry()
        self.delivery = Delivery(NodeMetrics(self.registry), has_archive=has_archive, room=room)
        self.delivery.outbox.begin(at(START))
        self.log = [entry(number, "a") for number in range(1, START + 1)]
        self.got: dict[Gateway, list[dict[str, Any]]] = {}

    def gateway(self, push_format: PushFormat = PushFormat.V1, *, lists_groups: bool = False) -> Gateway:
        """A gateway that delivery does not know yet."""
        got: list[dict[str, Any]] = []
        socket = MemorySocket(got.append)
        gateway = Gateway("app", "gateway", socket, EVERYTHING, push_format, lists_groups=lists_groups)
        self.got[gateway] = got
        return gateway

    def live(self, push_format: PushFormat = PushFormat.V1) -> Gateway:
        """A live gateway."""
        gateway = self.gateway(push_format)
        self.delivery.enter(gateway)
        self.delivery.join(gateway, None)
        return gateway

    def live_with(self, *groups: str, push_format: PushFormat = PushFormat.V1) -> Gateway:
        """A live gateway that has listed these groups."""
        gateway = self.gateway(push_format, lists_groups=True)
        self.delivery.enter(gateway)
        self.delivery.join(gateway, None)
        self.delivery.hold(gateway, change(*groups))
        assert gateway.state is State.LIVE
        return gateway

    def tell(self, *kinds: EventKind) -> None:
        """More entries follow, of no group."""
        self._tell([(None, kind) for kind in kinds])

    def tell_groups(self, *groups: str | None, kind: EventKind = SENT) -> None:
        """More entries follow, one of each of these groups."""
        self._tell([(group, kind) for group in groups])

    def replay(self, gateway: Gateway, end: int) -> None:
        """Push what follows a gateway's position, up to an entry."""
        framed = FramedEntries("line", self.log[:end], has_notices=True)
        pushes = framed.after(gateway.position.entry, gateway.format, gateway.groups)
        self.delivery.push(gateway, pushes, at(end))

    def codes(self, gateway: Gateway) -> list[int]:
        return [frame["code"] for frame in self.got[gateway]]

    def numbers(self, gateway: Gateway) -> list[int]:
        """The entries that were pushed to a gateway."""
        return [frame["data"]["n"] for frame in self.got[gateway] if frame["code"] in PUSHES]

    def count(self, name: str) -> float:
        return self.registry.get_sample_value(name) or 0.0

    def _tell(self, events: Sequence[tuple[str | None, EventKind]]) -> None:
        first = len(self.log) + 1
        entries = [entry(number, group, kind) for number, (group, kind) in enumerate(events, first)]
        self.log += entries
        self.delivery.tell("line", entries, at(len(self.log)))
