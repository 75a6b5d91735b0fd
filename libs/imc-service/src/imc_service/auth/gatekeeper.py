"""Decides what the bearer of a token may do."""

import contextlib
import hashlib
import time
from collections.abc import AsyncGenerator
from dataclasses import replace

import httpx
from imc_contracts.policies import Policies
from imc_contracts.scopes import CLIENT_SCOPES, Scope

from imc_service.auth import service_tokens
from imc_service.auth.grant import EVERYTHING, Grant
from imc_service.auth.key_set import KeySet
from imc_service.auth.keys import invalid
from imc_service.auth.secret import SharedSecrets
from imc_service.auth.settings import AccessSettings, ServiceAccessSettings
from imc_service.auth.verifier import Verifier, read_header
from imc_service.health import Readiness

REMEMBERED = 10_000
"""Valid tokens that are kept, so that a signature is checked once and not with every call."""

REVOKED = "the token is revoked"


class Gatekeeper:
    """Verifies tokens, and keeps the hashes of valid ones: a dump of the memory shows no token."""

    def __init__(
        self,
        clients: Verifier | None,
        policies: Policies,
        services: Verifier | None = None,
        key_set: KeySet | None = None,
    ) -> None:
        """Without ``clients`` no token is needed. ``services`` verifies the tokens of other services.

        ``policies`` say which tokens are revoked.
        """
        self.is_off = clients is None
        self._clients = clients
        self._policies = policies
        self._services = services
        self._key_set = key_set
        self._remembered: dict[bytes, Grant] = {}
        self._left: dict[bytes, Grant] = {}
        """What revocations leave of remembered grants, by the policies of `_version`."""
        self._version = policies.version
        if key_set is not None:
            # A withdrawn key invalidates what it has signed.
            key_set.on_change = self._remembered.clear

    async def grant_of(self, token: str) -> Grant:
        """What the bearer of ``token`` may do.

        Raises `Refused`: `UNAUTHENTICATED` if it is not valid now, `UNAVAILABLE` if that can't be decided.
        """
        if self._clients is None:
            return EVERYTHING
        digest = hashlib.sha256(token.encode()).digest()
        grant = self._remembered.get(digest)
        if grant is None:
            grant = await self._verified(self._clients, token)
            if len(self._remembered) >= REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[digest] = grant
        elif grant.expires_at <= time.time():
            del self._remembered[digest]
            raise invalid("the token has expired")
        return self._left_of(digest, grant)

    def unless_revoked(self, grant: Grant) -> Grant:
        """What is left of a grant: the apps that have revoked its token are taken away.

        Raises `Refused` (`UNAUTHENTICATED`) if nothing is left. A token for every app is not valid anywhere
        once one app has revoked it: which apps it was made for is not known.
        """
        if self._policies.is_revoked_everywhere(grant.marks):
            raise invalid(REVOKED)
        revoked = self._policies.apps_that_revoked(grant.marks)
        if not revoked:
            return grant
        left = None if grant.apps is None else grant.apps - revoked
        if not left:
            raise invalid(REVOKED)
        return replace(grant, apps=left)

    @contextlib.asynccontextmanager
    async def running(self, readiness: Readiness) -> AsyncGenerator[None]:
        """Keep fetched keys up to date while the context lasts."""
        if self._key_set is None:
            yield
            return
        readiness.add("keys", self._key_set.ready)
        async with self._key_set.running():
            yield

    def _left_of(self, digest: bytes, grant: Grant) -> Grant:
        if self._version != self._policies.version or len(self._left) > REMEMBERED:
            self._left.clear()
            self._version = self._policies.version
        left = self._left.get(digest)
        if left is None:
            left = self._left[digest] = self.unless_revoked(grant)
        return left

    async def _verified(self, clients: Verifier, token: str) -> Grant:
        header = read_header(token)
        if header.get("typ") != service_tokens.TYPE:
            return await clients.verify(token, header)
        if self._services is None:
            raise invalid("the token is one of services, which do not call here")
        return await self._services.verify(token, header)


def gatekeeper_of(settings: AccessSettings, policies: Policies, audience: str | None = None) -> Gatekeeper:
    """The gatekeeper for ``settings``. Other services call with tokens for ``audience``, if there is one."""
    if settings.auth == "off":
        return Gatekeeper(None, policies)
    services = None
    if audience is not None and isinstance(settings, ServiceAccessSettings):
        assert settings.service_secret is not None, "checked when the settings were read"
        service_scopes = frozenset({Scope.SEND, Scope.INTERNAL})
        services = Verifier(SharedSecrets(settings.service_secret), audience, service_scopes)
    if settings.jwt_secret is not None:
        keys, key_set = SharedSecrets(settings.jwt_secret), None
    else:
        assert settings.jwks_url is not None, "checked when the settings were read"
        keys = key_set = KeySet(settings.jwks_url, httpx.AsyncClient())
    return Gatekeeper(Verifier(keys, settings.jwt_audience, CLIENT_SCOPES), policies, services, key_set)
