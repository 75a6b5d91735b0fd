"""The two doors for gateways, told apart by their path, and what differs between them."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from imc_contracts.codes import ErrorCode
from imc_contracts.cursor import Cursor
from imc_contracts.errors import Refused

from imc_push_node.forwarding.incoming_frames import ReadFrames, read_frames
from imc_push_node.forwarding.java_frames import read_java_frames
from imc_push_node.gateway.push_format import PushFormat
from imc_push_node.http.gateway_paths import JAVA_GATEWAYS, V1_GATEWAYS

Query = Mapping[str, str]

CURSOR_RULE = "a cursor that a push, a receipt or a 2000 carried"
_GROUPS_RULE = "it must be listed, or be left out for the events of all groups"


@dataclass(frozen=True, slots=True)
class Door:
    """How the gateways of one kind of path connect, write, and are answered."""

    prefix: str
    """What their paths begin with; the two ids follow."""
    push_format: Callable[[Query], PushFormat]
    offered_cursor: Callable[[Query], Cursor | None]
    """The cursor to resume after; raises `Refused` if it is none."""
    read_frames: ReadFrames
    slot: Callable[[str], str]
    """The name of a new connection's slot in the gateway quota, given its gatewayId."""
    is_exclusive: bool
    """Whether a new connection replaces an older one of the same gatewayId."""
    ignores_binary_frames: bool
    """Whether a binary frame is thrown away. Otherwise it closes the connection."""
    lists_groups: Callable[[Query], bool] = lambda _query: False
    """Whether it gets only the events of groups that it lists; raises `Refused` if that is not clear."""

    @property
    def path(self) -> str:
        """The path as a template."""
        return self.prefix + "{appId}/{gatewayId}"


def _v1_format(query: Query) -> PushFormat:
    return PushFormat.V1_WITH_NOTICES if query.get("notices") == "1" else PushFormat.V1


def _v1_cursor(query: Query) -> Cursor | None:
    cursor = query.get("cursor")
    try:
        return Cursor.parse(cursor) if cursor else None
    except ValueError:
        raise Refused(ErrorCode.INVALID_FIELD, f"cursor is not valid: it must be {CURSOR_RULE}") from None


def _v1_lists_groups(query: Query) -> bool:
    groups = query.get("groups")
    if groups not in (None, "", "listed"):
        raise Refused(ErrorCode.INVALID_FIELD, f"groups is not valid: {_GROUPS_RULE}")
    return groups == "listed"


def _slot_of_its_own(gateway_id: str) -> str:
    # An id holds no line break, so that no gatewayId of v1 is the name of such a slot.
    return f"{gateway_id}\n{uuid.uuid4().hex}"


V1 = Door(
    prefix=V1_GATEWAYS,
    push_format=_v1_format,
    offered_cursor=_v1_cursor,
    read_frames=read_frames,
    slot=lambda gateway_id: gateway_id,
    is_exclusive=True,
    ignores_binary_frames=False,
    lists_groups=_v1_lists_groups,
)

JAVA = Door(
    prefix=JAVA_GATEWAYS,
    push_format=lambda _query: PushFormat.JAVA,
    offered_cursor=lambda _query: None,
    read_frames=read_java_frames,
    slot=_slot_of_its_own,
    is_exclusive=False,
    ignores_binary_frames=True,
)

DOORS = {"v1": V1, "java": JAVA}
"""By the names that metrics use."""
