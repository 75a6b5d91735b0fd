"""Single connections of redis-py: all hooks of IMC into its insides, and those into hiredis for commands.

The server behind an address may be replaced, or become a replica, while connections to it stay. When a reply
shows that a connection leads to the wrong server, all connections of the client that are older than the reply
are renewed, each before its next use. Where sentinels know the address, each new connection asks for it.

What is used of redis-py beyond its documentation: ``AbstractConnection`` with ``_reader``, ``_writer``,
``connect``, ``disconnect``, ``is_connected``, ``pack_command``, ``read_response``, ``send_packed_command``,
and ``host`` and ``port`` of those that have them; the pool's ``connection_class`` and ``make_connection``.
``tests-e2e/test_private_names.py`` fails when a new version changes that.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar, cast

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as ConnectionFailed
from redis.exceptions import RedisError, ResponseError

from imc_service.redis.errors import NotConnected, code_of, leads_elsewhere, words_of
from imc_service.redis.url import Address

CONNECT_SECONDS = 3.0

RENEW_SECONDS = 1.0
"""The least time between two renewals, so that a server that stays wrong is not flooded."""

Find = Callable[[], Awaitable[Address]]
"""Asks for the address of the server. Raises `NotConnected` if nobody knows it."""

_OF_A_CLUSTER = frozenset({"MOVED", "ASK", "CLUSTERDOWN"})
"""Said by the very node that we mean, about a slot."""

P = TypeVar("P", bound=asyncio.BaseProtocol)


def packed(*command: str | bytes) -> bytes:
    """A command as it is written to Redis."""
    return cast(Any, hiredis).pack_command(command)


class _KnownServer:
    """What the connections of a client know together of the server that they lead to."""

    def __init__(self, find: Find | None, is_in_cluster: bool) -> None:
        self._find = find
        self._is_in_cluster = is_in_cluster
        self._found: Address | None = None
        self.refused_at = float("-inf")
        """When one of them was last found to lead to the wrong server."""
        self.moved_at = float("-inf")
        """When the address was last found to be another one."""

    async def address(self) -> Address | None:
        """Where the server is now, as far as others than the URL know."""
        if self._find is None:
            return None
        found = await self._find()
        if found != self._found:
            now = time.monotonic()
            if self._found is not None:
                self.moved_at = now
            self._found, self.refused_at = found, now
        return found

    def look_at(self, error: RedisError) -> None:
        """Note a reply that the right server would not give."""
        if not leads_elsewhere(error) or (self._is_in_cluster and code_of(error) in _OF_A_CLUSTER):
            return
        now = time.monotonic()
        if now - self.refused_at >= RENEW_SECONDS:
            self.refused_at = now


class _TellingConnection:
    """A mixin for connection classes: renews a connection to the wrong server.

    Failures to connect raise `NotConnected`, which tells them from failures after a command was sent.
    """

    server: _KnownServer
    """Shared by all connections of the client."""

    _made_at: float | None = None

    def pack_command(self, *arguments: Any) -> list[bytes]:
        # redis-py's asyncio clients pack in Python, which takes longer than all other work of a large batch.
        name, *rest = arguments
        words = name.split() if isinstance(name, str) else [name]  # "CONFIG GET" is two
        return [packed(*words, *rest)]

    async def connect(self, *arguments: Any, **options: Any) -> None:
        connection = cast("AbstractConnection", self)
        reader = connection._reader  # pyright: ignore[reportPrivateUsage]
        if reader is not None:
            is_old = self._made_at is not None and self._made_at <= self.server.refused_at
            if not (is_old or reader.at_eof() or reader.exception() is not None):
                return
            # The pool would send a command to the wrong server, or to one that is known to be gone.
            await connection.disconnect(nowait=True)
        self._made_at = None
        try:
            address = await self.server.address()
            if address is not None:
                cast(Any, connection).host, cast(Any, connection).port = address
            await _look_up(connection)
            await super().connect(*arguments, **options)  # pyright: ignore
        except (RedisError, OSError) as error:
            raise NotConnected(words_of(error)) from error
        self._made_at = time.monotonic()

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*arguments, **options)  # pyright: ignore
        except RedisError as error:
            # Not while connecting: after a change of the password, older connections still work.
            if self._made_at is not None:
                self.server.look_at(error)
            raise

    async def send_packed_command(self, *arguments: Any, **options: Any) -> None:
        try:
            await super().send_packed_command(*arguments, **options)  # pyright: ignore
        except RuntimeError as error:
            # uvloop raises it when the peer has reset the connection. Callers expect a `RedisError`.
            await cast("AbstractConnection", self).disconnect(nowait=True)
            raise ConnectionFailed("the connection was reset") from error


class _AskingConnection(_TellingConnection):
    """A mixin for connections to a node of a cluster that is just taking a slot over.

    It serves the keys of the slot only to who says ASKING before each command. Within a transaction this
    holds from MULTI to EXEC. What is answered to ASKING is read here.
    """

    _is_in_transaction = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._asked: deque[bool] = deque()
        """For each command whose reply is still to be read: whether ASKING went before it."""

    def pack_command(self, *arguments: Any) -> list[bytes]:
        command = super().pack_command(*arguments)
        if self._made_at is None:  # it authenticates
            return command
        name = arguments[0]
        self._asked.append(not self._is_in_transaction)
        self._is_in_transaction = name == "MULTI" or (
            self._is_in_transaction and name not in ("EXEC", "DISCARD")
        )
        return [packed("ASKING"), *command] if self._asked[-1] else command

    async def send_packed_command(self, *arguments: Any, **options: Any) -> None:
        if self._made_at is not None and not cast("AbstractConnection", self).is_connected:
            # redis-py would connect now, and mistake the replies to ASKING for those of connecting.
            raise NotConnected("the connection was lost before the command was sent")
        await super().send_packed_command(*arguments, **options)

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        if self._asked and self._asked.popleft():
            try:
                await super().read_response(*arguments, **options)
            except ResponseError:
                # Without the right to say it the command is redirected again: its reply is to be read too.
                with contextlib.suppress(ResponseError):
                    await super().read_response(*arguments, **options)
                raise
        return await super().read_response(*arguments, **options)

    async def disconnect(self, *arguments: Any, **options: Any) -> None:
        self._asked.clear()
        self._is_in_transaction = False
        await super().disconnect(*arguments, **options)  # pyright: ignore


async def _look_up(connection: AbstractConnection) -> None:
    """Raise `OSError` if the name of the server does not resolve in time.

    uvloop resolves names in a future of its own when it connects. After the deadline nobody awaits that
    future, and the event loop reports its failure.
    """
    host: str | None = getattr(connection, "host", None)
    if host is None:
        return
    port: int = getattr(connection, "port", 0)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await asyncio.get_running_loop().getaddrinfo(host, port)
    except TimeoutError:
        raise TimeoutError(f"the name {host} was not resolved in time") from None
    except OSError as error:
        raise ConnectionFailed(f"the name {host} does not resolve: {error.strerror}") from error


def renew_when_misled(
    redis: Redis, *, find: Find | None = None, is_in_cluster: bool = False, is_asking: bool = False
) -> None:
    """Renew all connections of ``redis`` when one leads to the wrong server.

    Each new one leads to the address that ``find`` returns, or else to that of ``redis``. A client of a node
    of a cluster is not misled by a slot that moves; if it ``is_asking``, it is for a slot that the node is
    taking over.
    """
    pool = redis.connection_pool
    plain: type[AbstractConnection] = pool.connection_class
    mixin = _AskingConnection if is_asking else _TellingConnection
    own = {"server": _KnownServer(find, is_in_cluster)}
    pool.connection_class = type(f"{mixin.__name__}Of{plain.__name__}", (mixin, plain), own)


async def look_again(redis: Redis) -> None:
    """Ask where the server of ``redis`` is now. Another answer than the last renews all connections.

    Raises `NotConnected` if nobody knows it.
    """
    await _server_of(redis).address()


def has_moved(redis: Redis, since: float) -> bool:
    """Whether another server has taken the place of that of ``redis`` since then, by the monotonic clock."""
    return _server_of(redis).moved_at >= since


def _server_of(redis: Redis) -> _KnownServer:
    return cast(Any, redis.connection_pool.connection_class).server


@contextlib.asynccontextmanager
async def taken_over(redis: Redis, make: Callable[[asyncio.Transport], P]) -> AsyncGenerator[P]:
    """A separate connection, made as those of ``redis``, with the protocol that ``make`` returns.

    redis-py connects (TLS, authentication, RESP3) and reads all replies to what it sends. Raises `RedisError`
    or `OSError`.
    """
    connection: Any = redis.connection_pool.make_connection()
    try:
        await connection.connect()
        transport = connection._writer.transport
        protocol = make(transport)
        transport.set_protocol(protocol)
        if transport.is_closing():
            raise ConnectionFailed(
                "Redis closed the connection as it was made"
            )  # told to the protocol before
        yield protocol
    finally:
        await connection.disconnect(nowait=True)
