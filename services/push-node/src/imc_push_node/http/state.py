"""The state that the routes of push-node find in their scope."""

from dataclasses import dataclass
from typing import cast

from starlette.requests import HTTPConnection

from imc_push_node.cluster.drain import Drain
from imc_push_node.cluster.membership import Membership
from imc_push_node.http.connection import Connections


@dataclass(frozen=True, slots=True)
class PushNode:
    """The parts of the node that its routes, and the end of the process, need."""

    connections: Connections
    drain: Drain
    membership: Membership


def push_node(connection: HTTPConnection) -> PushNode:
    """The parts that the application opened when it started."""
    return cast(PushNode, connection.scope["state"]["push_node"])
