"""What the tests of HTTP parts share."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import pytest
from starlette.types import ASGIApp

Caller = Callable[[ASGIApp], AbstractAsyncContextManager[httpx.AsyncClient]]


@asynccontextmanager
async def _call(app: ASGIApp) -> AsyncGenerator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.fixture
def calling() -> Caller:
    """Gives a client of an ASGI app that runs in the test."""
    return _call
