"""How batches get to command-api: over the network, or to one in the same process.

By aiohttp, whose calls take a seventh of httpx' processor time: a node forwards a batch each millisecond or
two, where all its other calls are few.
"""

import contextlib
import io
from collections.abc import AsyncGenerator

import httpx
from imc_contracts.scopes import Scope
from imc_service.auth.service_tokens import COMMAND_API, ServiceToken

from imc_push_node.forwarding.command_api import PATH, NothingAccepted, Post
from imc_push_node.settings import PushNodeSettings

MOST_CONNECTIONS = 64
KEPT_SECONDS = 2.0
"""A kept connection that the server has just closed makes a send's end unknown: ours go before that."""

LARGE_BYTES = 1_048_576
"""What is larger goes in parts, between which the event loop does other things; aiohttp warns of the rest."""

CONNECT_SECONDS = 2.0
READ_SECONDS = 10.0

_JSON = {"content-type": "application/json"}


@contextlib.asynccontextmanager
async def posting(settings: PushNodeSettings) -> AsyncGenerator[Post]:
    """Posts to the command-api that ``settings`` name; where callers need tokens, with one of ours."""
    # Here, for it takes a while: a node that shares its process with command-api starts without it.
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

        async def post(body: bytes) -> tuple[int, bytes]:
            data = body if len(body) <= LARGE_BYTES else io.BytesIO(body)
            headers = {**_JSON, **token.headers()} if token else _JSON
            try:
                async with session.post(url, data=data, headers=headers, allow_redirects=False) as reply:
                    return reply.status, await reply.read()
            except never_sent as error:
                raise NothingAccepted from error

        yield post


def posting_within(client: httpx.AsyncClient) -> Post:
    """Posts by ``client``, whose transport is an application of this process."""

    async def post(body: bytes) -> tuple[int, bytes]:
        reply = await client.post(PATH, content=body, headers=_JSON)
        return reply.status_code, reply.content

    return post
