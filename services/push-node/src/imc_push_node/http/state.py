"""What the routes of push-node work with."""

from dataclasses import dataclass
from typing import cast

from starlette.requests import HTTPConnection

from imc_push_node.cluster.drain import Drain
from imc_push_node.cluster.gateway_quota import GatewayQuota
from imc_push_node.cluster.membership import Membership
from imc_push_node.http.connection import Connections


@dataclass(frozen=True, slots=True)
class PushNode:
    """What requests and the end of the process need of the node."""

    connections: Connections
    gateway_quota: GatewayQuota
    drain: Drain
    membership: Membership


def push_node(connection: HTTPConnection) -> PushNode:
    """What the lifespan of the application opened."""
    return cast(PushNode, connection.scope["state"]["push_node"])
