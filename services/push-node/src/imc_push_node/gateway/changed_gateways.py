"""The gateways of a node that have changed since somebody looked."""

from itertools import islice

from imc_push_node.gateway.gateway import Gateway


class ChangedGateways:
    """Those whose row of the roster may have to be written: to note one is all that it costs to change."""

    def __init__(self) -> None:
        self._noted: dict[Gateway, None] = {}

    def note(self, gateway: Gateway) -> None:
        """Note that a gateway has changed. Never waits."""
        self._noted[gateway] = None

    def take(self, most: int) -> list[Gateway]:
        """Those that were noted first, which are not noted any more."""
        taken = list(islice(self._noted, most))
        for gateway in taken:
            del self._noted[gateway]
        return taken
