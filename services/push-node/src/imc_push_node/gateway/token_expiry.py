"""Closes gateways whose token has expired, and takes fresh tokens from those that send one in time.

The gateways are kept by the second in which their token expires. One timer looks at the seconds, so that a
connection needs no timer of its own.
"""

import asyncio
import math
import time

from imc_contracts.codes import CloseCode
from imc_contracts.errors import Refused, unavailable
from imc_contracts.scopes import Scope
from imc_service.auth.gatekeeper import Gatekeeper
from prometheus_client import Counter

from imc_push_node.gateway import frames
from imc_push_node.gateway.frames import Refusal
from imc_push_node.gateway.gateway import Gateway

PERIOD_SECONDS = 1.0
RIGHTS = (Scope.GATEWAY, Scope.SEND)
"""The rights that a token gives at a node."""


class TokenExpiry:
    """The tokens of a node's gateways. ``refused`` counts the fresh tokens that are refused."""

    def __init__(self, gatekeeper: Gatekeeper, refused: Counter) -> None:
        self._gatekeeper = gatekeeper
        self._refused = refused
        self._due: dict[int, set[Gateway]] = {}
        self._second_of: dict[Gateway, int] = {}
        self._next = 0
        self._timer: asyncio.TimerHandle | None = None
        self._renewals: dict[Gateway, asyncio.Task[None]] = {}

    def watch(self, gateway: Gateway) -> None:
        """Close ``gateway`` within a second after its token expires."""
        self._forget_expiry(gateway)
        if gateway.grant.expires_at == math.inf:
            return
        if self._timer is None:
            self._next = int(time.time())
            self._look_later()
        # The timer does not look at a second twice.
        second = max(math.ceil(gateway.grant.expires_at), self._next)
        self._due.setdefault(second, set()).add(gateway)
        self._second_of[gateway] = second

    def forget(self, gateway: Gateway) -> None:
        """Stop watching ``gateway``, which has left."""
        self._forget_expiry(gateway)
        renewal = self._renewals.pop(gateway, None)
        if renewal is not None:
            renewal.cancel()

    def renew(self, gateway: Gateway, token: str) -> None:
        """Check a fresh token. It replaces the older one, or is answered 4001. Never waits."""
        if self._gatekeeper.is_off:
            return
        if gateway in self._renewals:
            self._refuse(gateway, unavailable("a token that was sent before is still being checked"))
            return
        self._renewals[gateway] = asyncio.create_task(self._renew(gateway, token))

    def close(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
        for renewal in self._renewals.values():
            renewal.cancel()

    async def _renew(self, gateway: Gateway, token: str) -> None:
        try:
            grant = await self._gatekeeper.grant_of(token)
            for scope in RIGHTS:
                if gateway.may(scope):
                    grant.require(scope, gateway.app_id)
        except Refused as refused:
            self._refuse(gateway, refused)
        else:
            gateway.renew(grant)
            self.watch(gateway)
        finally:
            self._renewals.pop(gateway, None)

    def _refuse(self, gateway: Gateway, refused: Refused) -> None:
        self._refused.inc()
        reason = f"the new token is not accepted: {refused.message}"
        refusal = Refusal(refused.code, reason, retry_after=refused.retry_after)
        gateway.socket.write(frames.frame_refused(gateway.format, refusal))

    def _look_later(self) -> None:
        # At most a second, to notice if the clock is set forward meanwhile.
        delay = min(max(self._next - time.time(), 0.0), PERIOD_SECONDS)
        self._timer = asyncio.get_running_loop().call_later(delay, self._look)

    def _look(self) -> None:
        now = int(time.time())
        while self._next <= now and self._due:
            for gateway in list(self._due.get(self._next, ())):
                gateway.socket.close(CloseCode.TOKEN_INVALID, "the token has expired")
                self._forget_expiry(gateway)
            self._next += 1
        if self._due:
            self._look_later()
        else:
            self._timer = None

    def _forget_expiry(self, gateway: Gateway) -> None:
        second = self._second_of.pop(gateway, None)
        if second is None:
            return
        gateways = self._due[second]
        gateways.discard(gateway)
        if not gateways:
            del self._due[second]
