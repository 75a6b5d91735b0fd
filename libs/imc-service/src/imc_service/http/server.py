"""Running a process: its HTTP server, and its end."""

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Protocol

import uvicorn
import uvloop
from fastapi import FastAPI

from imc_service.health import Readiness
from imc_service.http.listening import listening
from imc_service.logs import get_logger

logger = get_logger("server")

Drain = Callable[[], Coroutine[Any, Any, None]]
"""What to do between the signal to stop and the end of the server."""


class Listening(Protocol):
    """What of a process's settings its server keeps to; see `imc_service.settings.ServerSettings`."""

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
        """How long the process goes on as before when it is told to stop."""
        ...


SHUTDOWN_SECONDS = 10

KEEP_ALIVE_SECONDS = 75
"""How long a connection may be idle: longer than proxies and clients keep one, 60 seconds at most as a rule.

The client must close first: one that writes a request while we close can't know what became of it.
"""


class _Server(uvicorn.Server):
    """uvicorn that neither handles signals (it would close all sockets at once) nor exits by itself."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._on_started = on_started

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals to `serve`."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start; where the app can't, `started` stays false."""
        try:
            await super().startup(sockets)
        except SystemExit:
            # Raised in a task, it would tear the event loop down instead of ending the process in order.
            self.should_exit = True
        if self.started:
            _spare_the_collector()
            if self._on_started is not None:
                self._on_started()

    def let_clients_go(self) -> None:
        """Make each reply from here on the last of its connection.

        A connection that stays until the end may be closed just when its client writes the next request: that
        client can't know whether it was carried out.
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
    **options: Any,
) -> None:
    """Serve ``app`` until SIGTERM or SIGINT, then end in order. A second signal ends it at once.

    In order is: not ready from the signal on, if ``app.state.readiness`` is there; the drain delay, in which
    all goes on, for whoever routes to the process; ``drain``; no new connections, the requests under way; the
    end of the lifespan. ``on_started`` is called once requests are answered; ``options`` go to
    `uvicorn.Config`. Raises `SystemExit` with a message if the port can't be had.
    """
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            # uvicorn would believe whoever connects from this machine; see `guard.addresses`.
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
            server.should_exit = True
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)

    with listening(settings.host, settings.port) as sockets:
        serving = asyncio.create_task(server.serve(sockets=sockets))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            readiness: Readiness | None = getattr(app.state, "readiness", None)
            leaving = asyncio.create_task(_leave(server, readiness, settings.drain_delay_seconds, drain))
            await asyncio.wait({serving, leaving}, return_when=asyncio.FIRST_COMPLETED)
            leaving.cancel()
        server.should_exit = True
        stopping.cancel()
        await serving
    if not server.started:
        sys.exit("the process could not start; the log above says why")


async def _leave(
    server: _Server, readiness: Readiness | None, delay_seconds: float, drain: Drain | None
) -> None:
    """What comes between the signal to stop and the closing of sockets."""
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
    """What lives at the start lives to the end: not to be looked at again and again under load.

    Python's own threshold of 700 objects is passed by some tens of requests in flight, which are no garbage.
    It is not looked at first: a start leaves some tens of objects of garbage, and the look takes 0.1 s.
    """
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a process's main coroutine to its end."""
    uvloop.run(main())
