"""Running a process: its HTTP server, and its end."""

import asyncio
import contextlib
import errno
import gc
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Protocol

import uvicorn
import uvloop
from fastapi import FastAPI

from imc_service import ticks
from imc_service.health import Readiness
from imc_service.logs import get_logger

logger = get_logger("server")

Drain = Callable[[], Coroutine[Any, Any, None]]
"""What to do between the signal to stop and the end of the server."""


class Listening(Protocol):
    """The settings that a server needs. See `imc_service.settings.ServerSettings`."""

    @property
    def host(self) -> str:
        """The address to listen on."""
        ...

    @property
    def port(self) -> int:
        """The port to listen on."""
        ...

    @property
    def drain_delay_seconds(self) -> float:
        """How long the process continues as before when it is told to stop."""
        ...


BACKLOG = 4096

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound

SHUTDOWN_SECONDS = 10

KEEP_ALIVE_SECONDS = 75
"""How long a connection may be idle: longer than proxies and clients keep one, which is 60 seconds as a rule.

The client must close first. One that writes a request while we close can't know what became of it.
"""

TICK_SECONDS = 1.0
"""How often the server has its date made, and nothing else: to look more often would cost an idle process."""


class _Server(uvicorn.Server):
    """uvicorn without its handling of signals, which closes all sockets at once, and without its exit."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._on_started = on_started
        self._ending = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals to `serve`."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start. If the application can't, `started` stays false."""
        try:
            await super().startup(sockets)
        except SystemExit:
            # Raised in a task, it would stop the event loop instead of ending the process in order.
            self.should_exit = True
        if self.started:
            _spare_the_collector()
            if self._on_started is not None:
                self._on_started()

    async def main_loop(self) -> None:
        """Wait until `end`. uvicorn itself would look ten times a second whether that was called."""
        beats = 0
        while not await self.on_tick(beats):
            beats += 10  # the date is made with every tenth of uvicorn's own
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), ticks.pause(TICK_SECONDS))

    def end(self) -> None:
        """Close all sockets, and let `serve` return."""
        self.should_exit = True
        self._ending.set()

    def let_clients_go(self) -> None:
        """Make each reply from now on the last of its connection.

        A connection that stays may be closed while its client writes the next request. That client can't know
        whether the request was carried out.
        """
        close = (b"connection", b"close")
        self.config.encoded_headers.append(close)
        self.server_state.default_headers = [*self.server_state.default_headers, close]


async def serve(
    app: FastAPI,
    settings: Listening,
    *,
    drain: Drain | None = None,
    on_started: Callable[[], None] | None = None,
    on_stopping: Callable[[], None] | None = None,
    **options: Any,
) -> None:
    """Serve ``app`` until SIGTERM or SIGINT, then end in order. A second signal ends it at once.

    These are the steps: the process is not ready any more, if there is ``app.state.readiness``. It continues
    for the drain delay, until routers have noticed. ``drain`` runs. The sockets close, and requests under way
    are finished. The lifespan ends.

    ``on_started`` is called once requests are answered, ``on_stopping`` at the first signal. ``options`` go
    to `uvicorn.Config`. Raises `SystemExit` with a message if the port is not available.
    """
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            # uvicorn would trust every client on this machine; see `guard.addresses`.
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            **options,
        ),
        on_started,
    )
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            server.force_exit = True
            server.end()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)

    with listening(settings.host, settings.port) as sockets:
        serving = asyncio.create_task(server.serve(sockets=sockets))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            logger.info("told to stop; a second signal ends the process at once")
            if on_stopping is not None:
                on_stopping()
            readiness: Readiness | None = getattr(app.state, "readiness", None)
            leaving = asyncio.create_task(_leave(server, readiness, settings.drain_delay_seconds, drain))
            await asyncio.wait({serving, leaving}, return_when=asyncio.FIRST_COMPLETED)
            leaving.cancel()
        server.end()
        stopping.cancel()
        await serving
    if not server.started:
        sys.exit("the process could not start; the log above says why")


async def _leave(
    server: _Server, readiness: Readiness | None, delay_seconds: float, drain: Drain | None
) -> None:
    """The steps between the signal to stop and the closing of sockets."""
    if readiness is not None:
        readiness.retire("the process ends")
    if not server.started:
        return
    server.let_clients_go()
    await asyncio.sleep(delay_seconds)
    if drain is not None:
        logger.info("draining")
        await drain()


def _spare_the_collector() -> None:
    """Exclude the objects of the start from garbage collection, and collect less often.

    The objects of the start live until the end. Some tens of requests in flight exceed Python's threshold of
    700 objects, though they are no garbage. There is no collection first: it would free some tens of objects
    in 0.1 s.
    """
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a process's main coroutine to its end."""
    uvloop.run(main())


@contextlib.contextmanager
def listening(host: str, port: int) -> Generator[list[socket.socket]]:
    """Listen on each address of ``host``, which may be a name, while the context lasts.

    ``::`` is all addresses of both families. Raises `SystemExit` with a message if the port is not available.
    """
    with contextlib.ExitStack() as stack:
        try:
            sockets = [
                stack.enter_context(_listen(family, address)) for family, address in _addresses(host, port)
            ]
        except OSError as error:
            words = f"can't listen on {host} port {port}: "
            if error.errno == errno.EADDRINUSE:
                sys.exit(f"{words}{os.strerror(errno.EADDRINUSE)}. Set IMC_PORT to another port")
            sys.exit(f"{words}{error.strerror}")
        yield sockets


def reachable(host: str) -> str:
    """An address at which a process that listens on ``host`` is reached from this machine."""
    try:
        address = ipaddress.ip_address(host.strip("[]")).compressed
    except ValueError:
        return host
    if address == "::" and socket.has_dualstack_ipv6():
        return "127.0.0.1"
    return _ANY.get(address, address)


def _addresses(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
    found = socket.getaddrinfo(
        host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
    )
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))  # pyright: ignore


def _listen(family: int, address: tuple[str, int]) -> socket.socket:
    is_any = address[0] == "::" and socket.has_dualstack_ipv6()
    return socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=is_any)
