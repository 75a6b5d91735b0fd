"""Posts batches to command-api: over the network, or to one in the same process.

It uses aiohttp, whose calls take a seventh of the CPU time of httpx. A node forwards a batch each millisecond
or two; all its other calls are few, and made with httpx.
"""

import contextlib
import io
from collections.abc import AsyncGenerator, Mapping

import httpx
from imc_contracts.scopes import Scope
from imc_service.auth.service_tokens import COMMAND_API, ServiceToken

from imc_push_node.forwarding.command_api import PATH, NothingAccepted, Post, Reply
from imc_push_node.settings import PushNodeSettings

MOST_CONNECTIONS = 64
KEPT_SECONDS = 2.0
"""How long an idle connection is kept. It is closed before the server closes it: a batch written to a
connection that the server closes has an unknown end."""

LARGE_BYTES = 1_048_576
"""A larger body is sent in parts, between which the event loop does other things."""

CONNECT_SECONDS = 2.0
READ_SECONDS = 10.0

_JSON = {"content-type": "application/json"}


@contextlib.asynccontextmanager
async def posting(settings: PushNodeSettings) -> AsyncGenerator[Post]:
    """Post to the command-api that ``settings`` name; with a token of this node, where callers need one."""
    # Imported here, since it takes a while: a node in one process with command-api starts without it.
    import aiohttp

    never_sent = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
    token = None
    if settings.auth != "off" and settings.service_secret is not None:
        token = ServiceToken(settings.service_secret, COMMAND_API, Scope.SEND)
    url = settings.command_api_url.rstrip("/") + PATH
    connector = aiohttp.TCPConnector(limit=MOST_CONNECTIONS, keepalive_timeout=KEPT_SECONDS)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS, sock_read=READ_SECONDS),
        skip_auto_headers=("accept", "accept-encoding", "user-agent"),
    ) as session:

        async def post(body: bytes, more: Mapping[str, str]) -> Reply:
            data = body if len(body) <= LARGE_BYTES else io.BytesIO(body)
            headers = {**_JSON, **more, **token.headers()} if token else {**_JSON, **more}
            try:
                async with session.post(url, data=data, headers=headers, allow_redirects=False) as reply:
                    retry_after = _seconds(reply.headers.get("retry-after"))
                    return Reply(reply.status, await reply.read(), retry_after)
            except never_sent as error:
                raise NothingAccepted from error

        yield post


def posting_within(client: httpx.AsyncClient) -> Post:
    """Post with ``client``, whose transport is an application of this process."""

    async def post(body: bytes, more: Mapping[str, str]) -> Reply:
        reply = await client.post(PATH, content=body, headers={**_JSON, **more})
        return Reply(reply.status_code, reply.content, _seconds(reply.headers.get("retry-after")))

    return post


def _seconds(header: str | None) -> int | None:
    """``Retry-After`` in the form that our services use (RFC 9110, section 10.2.3)."""
    return int(header) if header is not None and header.isascii() and header.isdigit() else None
