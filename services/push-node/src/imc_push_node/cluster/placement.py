"""To which of several nodes a gateway belongs: the same one whoever asks, while the nodes are the same.

Rendezvous hashing (Thaler and Ravishankar, 1998): each pair of gateway and node has a weight, the heaviest
wins. So a node that comes takes its share from all others alike, and one that goes leaves only its own.
"""

from collections.abc import Iterable
from hashlib import blake2b

WEIGHT_BYTES = 8


def home(nodes: Iterable[str], app_id: str, gateway_id: str) -> str:
    """The one of ``nodes`` (addresses; at least one) that the gateway belongs to."""
    gateway = f"{app_id}/{gateway_id}".encode()
    # The address decides between equal weights, or two nodes could answer differently.
    return max(nodes, key=lambda node: (_weight(node, gateway), node))


def _weight(node: str, gateway: bytes) -> bytes:
    # Not hash(): that one differs from process to process.
    return blake2b(b"%b %b" % (node.encode(), gateway), digest_size=WEIGHT_BYTES).digest()
