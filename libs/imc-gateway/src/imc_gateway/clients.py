"""Clients that carry out the calls of `imc_gateway.calls` over HTTP: one that waits, one to await.

``url`` is where commands and queries are answered, such as ``https://imc.example.com``. If they are answered
at two addresses, make two clients.
"""

import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Self, TypeVar

import httpx

from imc_gateway import calls
from imc_gateway.calls import Call
from imc_gateway.models import Message
from imc_gateway.tokens import Token

T = TypeVar("T")

TIMEOUT_SECONDS = 20.0
PAGE = 500


class Client:
    """Carries out calls, and waits for their replies. Close it, or use it as a context manager.

    ``token``: a text, or a function that returns one for each call.
    """

    def __init__(self, url: str, *, token: str | Callable[[], str] | None = None) -> None:
        self._token = token
        self._http = httpx.Client(base_url=url.rstrip("/"), timeout=TIMEOUT_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def call(self, call: Call[T]) -> T:
        """Carry out a call. Raises `ImcError` if IMC refuses it, `httpx.HTTPError` if IMC is out of reach."""
        token = self._token() if callable(self._token) else self._token
        return call.result_of(self._http.send(_request(self._http, call, token)))

    def history(self, app_id: str, group_id: str) -> Generator[Message]:
        """All messages of a group, page by page, the newest first. Raises as `call`."""
        before: str | None = None
        while True:
            page = self.call(calls.messages(app_id, group_id=group_id, before=before, limit=PAGE))
            yield from reversed(page.items)
            if not page.has_more:
                return
            before = page.items[0].message_id


class AsyncClient:
    """The same to await. The function of ``token`` may be a coroutine function."""

    def __init__(self, url: str, *, token: Token = None) -> None:
        self._token = token
        self._http = httpx.AsyncClient(base_url=url.rstrip("/"), timeout=TIMEOUT_SECONDS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def call(self, call: Call[T]) -> T:
        """Carry out a call. Raises `ImcError` if IMC refuses it, `httpx.HTTPError` if IMC is out of reach."""
        token = self._token() if callable(self._token) else self._token
        if inspect.isawaitable(token):
            token = await token
        return call.result_of(await self._http.send(_request(self._http, call, token)))

    async def history(self, app_id: str, group_id: str) -> AsyncGenerator[Message]:
        """All messages of a group, page by page, the newest first. Raises as `call`."""
        before: str | None = None
        while True:
            page = await self.call(calls.messages(app_id, group_id=group_id, before=before, limit=PAGE))
            for message in reversed(page.items):
                yield message
            if not page.has_more:
                return
            before = page.items[0].message_id


def _request(http: httpx.Client | httpx.AsyncClient, call: Call[T], token: str | None) -> httpx.Request:
    return http.build_request(
        "GET" if call.body is None else "POST",
        call.path,
        params=call.query,
        json=call.body,
        headers={} if token is None else {"Authorization": f"Bearer {token}"},
    )
