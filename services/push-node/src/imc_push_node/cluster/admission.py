"""Keeps out, and sends away, the gateways of suspended apps and those whose tokens are revoked."""

import asyncio

from imc_contracts.codes import CloseCode
from imc_contracts.errors import SUSPENDED, Refused, suspended
from imc_contracts.policies import Policies
from imc_service import ticks
from imc_service.auth.gatekeeper import REVOKED, Gatekeeper

from imc_push_node.gateway.gateway import Gateway
from imc_push_node.stream.hub import Hub

LOOK_SECONDS = 0.5
GATEWAYS_AT_ONCE = 500
"""How many gateways are checked before other work has its turn."""


class Admission:
    """Which gateways may be connected. `run` must be running."""

    def __init__(self, policies: Policies, gatekeeper: Gatekeeper, hub: Hub) -> None:
        self._policies = policies
        self._gatekeeper = gatekeeper
        self._hub = hub

    def require(self, app_id: str) -> None:
        """Raise `Refused` (`FORBIDDEN`) if the app is suspended."""
        if self._policies.of(app_id).is_suspended:
            raise suspended()

    async def run(self) -> None:
        """After each change of the policies, close the gateways that they no longer admit.

        Runs until cancelled.
        """
        checked = 0
        while True:
            version = self._policies.version
            if version != checked:
                await self._check()
                checked = version
            await asyncio.sleep(ticks.pause(LOOK_SECONDS))

    async def _check(self) -> None:
        gateways = self._hub.gateways
        for first in range(0, len(gateways), GATEWAYS_AT_ONCE):
            for gateway in gateways[first : first + GATEWAYS_AT_ONCE]:
                self._close_unless_admitted(gateway)
            await asyncio.sleep(0)

    def _close_unless_admitted(self, gateway: Gateway) -> None:
        if self._policies.of(gateway.app_id).is_suspended:
            gateway.socket.close(CloseCode.FORBIDDEN, SUSPENDED)
        elif self._is_revoked(gateway):
            gateway.socket.close(CloseCode.TOKEN_INVALID, REVOKED)

    def _is_revoked(self, gateway: Gateway) -> bool:
        try:
            left = self._gatekeeper.unless_revoked(gateway.grant)
        except Refused:
            return True
        return left.apps is not None and gateway.app_id not in left.apps
