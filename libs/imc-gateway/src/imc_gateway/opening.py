"""Makes a gateway of its parts."""

from collections.abc import Iterable

from imc_gateway.addresses import Addresses, Nodes
from imc_gateway.clients import AsyncClient
from imc_gateway.gateway import Gateway
from imc_gateway.groups import HeldGroups
from imc_gateway.stores import MemoryStore, Store
from imc_gateway.tokens import Token, Tokens


def connect(
    url: str,
    app_id: str,
    gateway_id: str,
    *,
    token: Token = None,
    store: Store | None = None,
    notices: bool = False,
    groups: Iterable[str] | None = None,
    queries_url: str | None = None,
    buffer: int = 256,
    max_unanswered: int = 1000,
) -> Gateway:
    """A gateway of the app ``app_id``, to be used as an async context manager.

    - ``url``: where IMC answers, such as ``wss://imc.example.com``.
    - ``token``: a text, or a function, also a coroutine function, that returns a fresh one. With a function
      the token is renewed in time.
    - ``store`` keeps the position. Without it a new process begins with what happens from then on.
    - ``notices``: whether notices are wanted.
    - ``groups``: the groups to begin with, if only the events of some are wanted; at most 100,000.
    - ``queries_url``: where queries are answered, if not below ``url``.
    - ``buffer``: how many events may wait to be handed out.
    - ``max_unanswered``: how many sends may wait for their answer.

    Raises `ValueError` for a ``url`` that is none.
    """
    addresses = Addresses.of(url, app_id, gateway_id)
    queries = AsyncClient(queries_url or addresses.web, token=token)
    store, tokens, held = store or MemoryStore(), Tokens(token), HeldGroups(groups)
    return Gateway(Nodes(addresses), app_id, tokens, store, notices, held, queries, buffer, max_unanswered)
