"""Tokens: a fixed one, or those of a function that is asked for a fresh one when it is needed."""

import asyncio
import base64
import inspect
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

Token = str | Callable[[], str | Awaitable[str]] | None

_LEAD_SECONDS = 60.0


class Tokens:
    """Gives the token to connect with, and knows when the next one is due."""

    def __init__(self, token: Token) -> None:
        self._token = token

    @property
    def are_renewed(self) -> bool:
        """Whether there can be a fresh one."""
        return callable(self._token)

    async def fresh(self) -> str | None:
        """A token to use now, or None if none is needed. Raises what the function raises."""
        if not callable(self._token):
            return self._token
        token = self._token()
        return await token if inspect.isawaitable(token) else token

    def renew_in(self, token: str | None) -> float | None:
        """In how many seconds ``token`` should be replaced; None if never, or if that can't be known."""
        if token is None or not self.are_renewed:
            return None
        ends = _expiry_of(token)
        if ends is None:
            return None
        left = ends - time.time()
        # A short-lived token is replaced after half its time.
        return max(1.0, left - min(_LEAD_SECONDS, left / 2))

    async def renew(self, token: str | None, send: Callable[[str], Awaitable[None]]) -> None:
        """Send a fresh token each time before ``token`` ends: a connection ends with its token."""
        while (seconds := self.renew_in(token)) is not None:
            await asyncio.sleep(seconds)
            token = await self.fresh()
            await send(json.dumps({"token": token}))


def _expiry_of(token: str) -> float | None:
    """When a JWT ends, in Unix seconds. The service verifies it; here it is only read."""
    try:
        payload = token.split(".")[1]
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError):
        return None
