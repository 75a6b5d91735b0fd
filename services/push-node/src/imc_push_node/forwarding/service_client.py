"""The HTTP client of a node's few calls to our other services."""

import httpx
from imc_contracts.scopes import Scope
from imc_service import current_call
from imc_service.auth.service_tokens import ServiceToken

from imc_push_node.settings import PushNodeSettings

_LIMITS = httpx.Limits(max_connections=64, max_keepalive_connections=32, keepalive_expiry=2)
_TIMEOUT = httpx.Timeout(10, connect=2, pool=2)


def service_client(settings: PushNodeSettings, url: str, audience: str, scope: Scope) -> httpx.AsyncClient:
    """Return a client of the service at ``url``. Its calls bear an id, and a token where callers need one."""
    client = httpx.AsyncClient(
        base_url=url, limits=_LIMITS, timeout=_TIMEOUT, trust_env=False, event_hooks={"request": [_name]}
    )
    if settings.auth == "off" or settings.service_secret is None:
        return client
    token = ServiceToken(settings.service_secret, audience, scope)

    def sign(request: httpx.Request) -> httpx.Request:
        request.headers.update(token.headers())
        return request

    client.auth = sign
    return client


async def _name(request: httpx.Request) -> None:
    request.headers.update(current_call.headers())
