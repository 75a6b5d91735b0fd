"""The public keys of an issuer, from its JWKS endpoint (RFC 7517)."""

import asyncio
import contextlib
import json
import math
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any, cast

import httpx
import jwt
from imc_contracts.errors import unavailable

from imc_service import background
from imc_service.auth.keys import Header, Key, invalid
from imc_service.logs import get_logger

logger = get_logger("keys")

REFRESH_SECONDS = 300.0
"""How long a key stays valid after its issuer withdraws it, if the endpoint answers."""

LEAST_SECONDS = 10.0
"""The least time between two fetches, so that tokens with unknown keys put no load on the issuer."""

FETCH_SECONDS = 5.0
LARGEST_BYTES = 1_048_576
LEAST_RSA_BITS = 2048

_ALGORITHMS = {"RSA": "RS256", "EC P-256": "ES256", "OKP Ed25519": "EdDSA"}
"""The one algorithm of each kind of key. A token can't choose another, such as HS256 with a public key."""


class KeySet:
    """The keys of the last successful fetch, which hold while the endpoint is down."""

    def __init__(
        self, url: str, client: httpx.AsyncClient, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``client`` is closed when `running` ends; ``clock`` tells seconds."""
        self._url = url
        self._clock = clock
        self._client = client
        self._keys: dict[str | None, Key] = {}
        self._document: object = None
        self._fault: str | None = "not asked yet"
        self._asked_at = -math.inf
        self._asking = asyncio.Lock()
        self.on_change: Callable[[], None] = lambda: None
        """Called when other keys hold than before."""

    async def find(self, header: Header) -> list[Key]:
        """The key that the header names; without a name, the only one there is. Raises as `Keys.find`."""
        key = self._named(header)
        if key is None:
            await self.refresh()
            key = self._named(header)
        if key is not None:
            return [key]
        if self._fault is not None:
            # It may be a new key, which can't be known now: the caller is not at fault.
            raise unavailable("the keys of the issuer are out of reach")
        raise invalid("the token is signed with a key that its issuer does not have")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Keep the keys fresh as long as the context lasts."""
        async with contextlib.aclosing(self._client), background.running(self._run()):
            yield

    async def _run(self) -> None:
        while True:
            await self.refresh()
            await asyncio.sleep(REFRESH_SECONDS if self._fault is None else LEAST_SECONDS)

    async def refresh(self) -> None:
        """Fetch the keys, unless that was done just now; never raises."""
        async with self._asking:
            if self._clock() - self._asked_at < LEAST_SECONDS:
                return
            self._asked_at = self._clock()
            try:
                async with asyncio.timeout(FETCH_SECONDS):
                    self._take(await self._fetch())
            except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError, TimeoutError) as error:
                self._fault = type(error).__name__
                logger.warning("the keys of the issuer can't be fetched", fault=self._fault)
            else:
                self._fault = None

    async def ready(self) -> str | None:
        """A readiness check: without a key no token can be verified."""
        return None if self._keys else f"the keys of the issuer are out of reach ({self._fault})"

    def _named(self, header: Header) -> Key | None:
        kid = header.get("kid")
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid)

    async def _fetch(self) -> object:
        body = bytearray()
        async with self._client.stream("GET", self._url) as reply:
            reply.raise_for_status()
            async for chunk in reply.aiter_bytes():
                body += chunk
                if len(body) > LARGEST_BYTES:
                    raise ValueError("too large")
        return json.loads(body)

    def _take(self, document: object) -> None:
        if document == self._document:
            return
        keys = _read(document)
        if not keys:
            raise ValueError("no key of use")
        self._document, self._keys = document, keys
        self.on_change()


def _read(document: object) -> dict[str | None, Key]:
    """The usable keys in a JWKS document, by name. Raises `ValueError` if it is not one."""
    listed = cast("dict[str, Any]", document).get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("not a key set")
    keys: dict[str | None, Key] = {}
    for jwk in cast("list[Any]", listed):
        kid, key = _key(cast("dict[str, Any]", jwk)) if isinstance(jwk, dict) else (None, None)
        if key is not None:
            keys[kid] = key
    return keys


def _key(jwk: dict[str, Any]) -> tuple[str | None, Key | None]:
    """The name and the key; no key if it is not a public key for signatures of an accepted kind."""
    kid, kind, curve = (jwk.get(field) for field in ("kid", "kty", "crv"))
    algorithm = _ALGORITHMS.get(f"{kind} {curve}" if curve else f"{kind}")
    is_ours = jwk.get("use", "sig") == "sig" and jwk.get("alg", algorithm) == algorithm and "d" not in jwk
    if algorithm is None or not is_ours or not isinstance(kid, str | None):
        return None, None
    try:
        value = jwt.PyJWK(jwk, algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None, None
    if algorithm == "RS256" and value.key_size < LEAST_RSA_BITS:
        return None, None
    return kid, Key(value, algorithm)
