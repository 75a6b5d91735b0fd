"""Chooses the node that a gateway belongs to. All nodes choose the same one, if they know the same nodes.

By rendezvous hashing (Thaler and Ravishankar, 1998): each pair of gateway and node has a weight, and the node
with the greatest weight wins. A new node takes its share from all others alike. If a node leaves, only its
own gateways move.
"""

from collections.abc import Iterable
from hashlib import blake2b

WEIGHT_BYTES = 8


def home(nodes: Iterable[str], app_id: str, gateway_id: str) -> str:
    """Choose the address of a gateway's node from ``nodes``, of which there must be at least one."""
    gateway = f"{app_id}/{gateway_id}".encode()
    # The address decides between equal weights, so that all nodes answer alike.
    return max(nodes, key=lambda node: (_weight(node, gateway), node))


def _weight(node: str, gateway: bytes) -> bytes:
    # Not `hash()`, which differs between processes.
    return blake2b(b"%b %b" % (node.encode(), gateway), digest_size=WEIGHT_BYTES).digest()
