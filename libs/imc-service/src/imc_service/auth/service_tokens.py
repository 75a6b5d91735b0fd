"""Tokens of calls between services: short-lived, and signed by the caller."""

import time
from collections.abc import Callable

import jwt
from imc_contracts.scopes import Scope
from pydantic import SecretStr

from imc_service.auth.secret import ALGORITHM, split

COMMAND_API = "imc-command-api"
QUERY_API = "imc-query-api"
"""Audiences: a token for one service is not valid at another."""

TYPE = "imc-service+jwt"
"""The ``typ`` of these tokens, which tells them from those of clients (RFC 8725, section 3.11)."""

LIFETIME_SECONDS = 120
RENEWAL_SECONDS = 60
"""How long a token is used. The rest of its lifetime is for clocks that differ."""


class ServiceToken:
    """The token for calls to one service."""

    def __init__(
        self, secrets: SecretStr, audience: str, scope: Scope, clock: Callable[[], float] = time.time
    ) -> None:
        """The first of ``secrets`` signs. ``scope`` is all that the calls need, for every app."""
        self._secret = split(secrets)[0]
        self._claims = {"aud": audience, "scope": scope.value, "app": "*"}
        self._clock = clock
        self._token = ""
        self._renew_at = 0.0

    def headers(self) -> dict[str, str]:
        """The headers of a call made now."""
        now = self._clock()
        # A clock that is set back must not prolong the use of a token.
        if not self._renew_at - RENEWAL_SECONDS <= now < self._renew_at:
            self._renew_at = now + RENEWAL_SECONDS
            claims = {**self._claims, "exp": int(now + LIFETIME_SECONDS)}
            self._token = jwt.encode(claims, self._secret, ALGORITHM, headers={"typ": TYPE})
        return {"authorization": f"Bearer {self._token}"}
