"""Where a gateway connects: at the node that it belongs to, or at the common address."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import httpx

from imc_gateway.sockets import OPEN_SECONDS

_WEB = {"ws": "http", "wss": "https", "http": "http", "https": "https"}


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of one gateway."""

    web: str
    """Where calls over HTTP are answered, without a slash at the end."""
    path: str
    """Of the gateway, escaped."""

    @classmethod
    def of(cls, url: str, app_id: str, gateway_id: str) -> "Addresses":
        """Those below ``url``, which begins with ws, wss, http or https. Raises `ValueError`."""
        parts = urlsplit(url)
        if parts.scheme not in _WEB or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(
                "url must be ws://HOST, wss://HOST, http://HOST or https://HOST, a path may follow"
            )
        web = urlunsplit((_WEB[parts.scheme], parts.netloc, parts.path.rstrip("/"), "", ""))
        return cls(web, f"/v1/gateways/{quote(app_id, safe='')}/{quote(gateway_id, safe='')}")

    @property
    def node(self) -> str:
        """Where to ask which node the gateway belongs to."""
        return f"{self.web}{self.path}/node"

    @property
    def common(self) -> str:
        """The WebSocket at the common address."""
        return "ws" + self.web.removeprefix("http") + self.path


class Nodes:
    """Asks which node a gateway belongs to.

    The question is not in the log of httpx: a standalone answers it with 503, which is no fault.
    """

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._question = httpx.URL(addresses.node)
        logging.getLogger("httpx").addFilter(self._is_of_others)
        self._client = httpx.AsyncClient(timeout=OPEN_SECONDS)

    async def urls(self, headers: Mapping[str, str]) -> list[str]:
        """Where to connect: at its node, if there is one, then at the common address."""
        try:
            reply = await self._client.get(self._question, headers=headers)
            own = [str(reply.json()["data"]["connectUrl"])] if reply.status_code == 200 else []
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            own = []
        return [*own, self._addresses.common]

    async def close(self) -> None:
        """Ask nobody any more."""
        logging.getLogger("httpx").removeFilter(self._is_of_others)
        await self._client.aclose()

    def _is_of_others(self, record: logging.LogRecord) -> bool:
        """Whether a line of the log is of another request."""
        return not (isinstance(record.args, tuple) and self._question in record.args)


def with_parameters(url: str, cursor: str | None, *, notices: bool, lists_groups: bool = False) -> str:
    """A WebSocket's URL with what a gateway asks for."""
    parameters = {
        "cursor": cursor,
        "notices": "1" if notices else None,
        "groups": "listed" if lists_groups else None,
    }
    query = urlencode({name: value for name, value in parameters.items() if value is not None})
    return f"{url}?{query}" if query else url
