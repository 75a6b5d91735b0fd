"""The state that the routes of push-node find in their scope."""

from dataclasses import dataclass
from typing import cast

from imc_service.http.bodies import BodyRoom
from starlette.requests import HTTPConnection

from imc_push_node.cluster.disconnects import Disconnects
from imc_push_node.cluster.drain import Drain
from imc_push_node.cluster.membership import Membership
from imc_push_node.cluster.roster_pages import RosterPages
from imc_push_node.gateway.keepalive import Keepalive
from imc_push_node.http.connection import Connections


@dataclass(frozen=True, slots=True)
class PushNode:
    """The parts of the node that its routes, and the end of the process, need."""

    connections: Connections
    drain: Drain
    membership: Membership
    roster: RosterPages
    disconnects: Disconnects
    body_room: BodyRoom
    keepalive: Keepalive
    """What pings event streams."""


def push_node(connection: HTTPConnection) -> PushNode:
    """The parts that the application opened when it started."""
    return cast(PushNode, connection.scope["state"]["push_node"])
