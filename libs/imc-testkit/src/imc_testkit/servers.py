"""A real Redis and a real MariaDB, as child processes with data of their own.

They are there for the tests as a whole and, one by one, for tests that kill, hang and restart them. Writes
survive SIGKILL as they do in production: Redis keeps an append-only file, MariaDB its redo log.
"""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, MasterDownError, RedisError

from imc_testkit import databases
from imc_testkit.child import Child, free_port
from imc_testkit.programs import program, search_path
from imc_testkit.waiting import wait_until

START_SECONDS = 60.0
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of one's own is made in it
_ROOM = 4 << 30
"""Bytes. The servers of two workers of a test run take a quarter of it at most."""

_ACCOUNT = """\
CREATE USER IF NOT EXISTS 'imc'@'127.0.0.1' IDENTIFIED BY 'imc';
GRANT ALL PRIVILEGES ON *.* TO 'imc'@'127.0.0.1' WITH GRANT OPTION;
"""


_place: Path | None = None


@contextlib.contextmanager
def kept_in_memory() -> Generator[None]:
    """Keep the data of servers that begin meanwhile in memory, if this machine has room.

    A disk that is busy lets an fsync take seconds, and a small transaction needs a dozen on new tables. What
    is killed loses no more in memory: the data are files there, too.
    """
    global _place
    before = _place
    if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _ROOM:
        _place = _MEMORY
    try:
        yield
    finally:
        _place = before


class _Server:
    """What the two servers share: a child process, one port and one data folder over all starts.

    A folder that is given is kept at the end, for another server on the same data.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.port = free_port()
        self._is_kept = folder is not None
        self._folder = folder or Path(tempfile.mkdtemp(prefix="imc-test-", dir=_place))
        self._child: Child | None = None

    @property
    def folder(self) -> Path:
        """Where its data are, and its socket if it has one."""
        return self._folder

    @property
    def process(self) -> Child:
        """The process; raises `RuntimeError` before the first start."""
        if self._child is None:
            raise RuntimeError("the server was not started")
        return self._child

    async def stop(self) -> None:
        """SIGTERM, and wait for the end: everything is put in order."""
        self.process.send_signal(signal.SIGTERM)
        await self.process.wait()

    async def kill(self) -> None:
        """SIGKILL: the next start has to recover."""
        await self.process.kill()

    def pause(self) -> None:
        """SIGSTOP: it hangs, its connections stay open."""
        self.process.pause()

    def resume(self) -> None:
        """SIGCONT: it goes on."""
        self.process.resume()

    async def close(self) -> None:
        """End it, and throw its data away unless they are kept."""
        if self._child is not None:
            await self._child.close()
        if not self._is_kept:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _run(self, arguments: list[str], *more: str) -> None:
        if self._child is None:
            self._child = Child(arguments, {"PATH": search_path()})
        self._child.spawn(*more)
        try:
            await wait_until(self._answers, START_SECONDS, 0.02, what=f"{arguments[0]} to answer")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._child.log}") from None

    async def _answers(self) -> bool:
        raise NotImplementedError


class PrivateRedis(_Server):
    """A Redis that writes each second what it acknowledged to disk (`appendfsync everysec`).

    ``options`` are further arguments of its command line, such as ``("--maxmemory", "8mb")``; ``folder``
    exists, and is kept at the end. With an ``account`` (``USER:PASSWORD``), `url` logs in as that user.
    """

    def __init__(self, *options: str, folder: Path | None = None, account: str | None = None) -> None:
        super().__init__(folder)
        self.file: Path | None = None
        """Further settings, which CONFIG REWRITE changes."""
        login = f"{account}@" if account else ""
        self.url = f"redis://{login}127.0.0.1:{self.port}/0"
        self.cluster_port = free_port()
        """Where nodes of a cluster speak to it. By default that is far from its port, and may be taken."""
        is_node = "--cluster-enabled" in options and "--cluster-port" not in options
        self._options = (*options, *(("--cluster-port", str(self.cluster_port)) if is_node else ()))

    async def start(self) -> None:
        """Start it, or start it again with the data it left; returns when it has loaded them.

        Raises `NotInstalled` if there is none.
        """
        settings = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self._folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
        }
        arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
        file = [] if self.file is None else [str(self.file)]
        await self._run([program("redis-server", "valkey-server"), *file, *arguments, *self._options])

    async def restart(self) -> None:
        """Stop it and start it again, with its data."""
        await self.stop()
        await self.start()

    @contextlib.contextmanager
    def kept_data(self) -> Generator[Path]:
        """A copy of what is on its disk now, to be `put_back`. Its writers should pause meanwhile."""
        with tempfile.TemporaryDirectory(prefix="imc-kept-") as kept:
            shutil.copytree(self._folder, kept, dirs_exist_ok=True)
            yield Path(kept)

    def put_back(self, kept: Path) -> None:
        """Put `kept_data` in the place of what is on its disk; it must have ended."""
        # What is in it, not itself: a disk may be mounted there.
        for place in self._folder.iterdir():
            shutil.rmtree(place) if place.is_dir() else place.unlink()
        shutil.copytree(kept, self._folder, dirs_exist_ok=True)

    async def _answers(self) -> bool:
        assert self.process.exit_code is None, "it ended at once"
        try:
            async with Redis.from_url(self.url) as redis:  # pyright: ignore[reportUnknownMemberType]
                return bool(await redis.ping())  # pyright: ignore
        except (AuthenticationError, MasterDownError):
            return True  # to nobody without a name, as its users want it; or to nobody without its master
        except (RedisError, OSError):
            return False


class PrivateMariadb(_Server):
    """A MariaDB whose account ``imc`` may do everything.

    Its default character set is latin1, as it comes: tables have to ask for what they need.
    ``options`` are further arguments of its command line; ``folder`` exists, and is kept at the end.
    """

    def __init__(self, *options: str, folder: Path | None = None) -> None:
        super().__init__(folder)
        self._options = options
        self._data = self._folder / "data"
        self._account = self._folder / "account.sql"
        self.url = f"mysql://imc:imc@127.0.0.1:{self.port}/mysql"

    async def start(self) -> None:
        """Start it, or start it again with the data it left; returns when it has recovered them.

        Raises `NotInstalled` if there is none.
        """
        await self._install()
        await self._run(self._arguments())

    def _arguments(self) -> list[str]:
        settings = {
            "datadir": self._data,
            "init-file": self._account,
            "socket": self._folder / "socket",
            "pid-file": self._folder / "pid",
            # Its own: at its start a server deletes what it takes for the left-overs of another in here.
            "tmpdir": self._folder,
            "bind-address": "127.0.0.1",
            "port": self.port,
            "innodb-log-file-size": "16M",
            "innodb-buffer-pool-size": "64M",
        }
        return [
            *(program("mariadbd"), "--no-defaults", *self._user(), "--skip-name-resolve"),
            *(f"--{name}={value}" for name, value in settings.items()),
            *self._options,
        ]

    async def restart(self) -> None:
        """Stop it and start it again, with its data."""
        await self.stop()
        await self.start()

    def _user(self) -> list[str]:
        """The option that says as which user it runs, without which it refuses to be started by root."""
        return ["--user=root"] if os.geteuid() == 0 else []

    async def _install(self) -> None:
        """Make its data folder, if there is none yet."""
        if self._data.exists():
            return
        self._account.write_text(_ACCOUNT)
        script = program("mariadb-install-db", "mysql_install_db")
        options = [f"--datadir={self._data}", "--auth-root-authentication-method=normal", "--skip-test-db"]
        # Its own, as that of the server: two installers in one folder delete each other's files.
        environment = {"PATH": search_path(), "TMPDIR": str(self._folder)}
        installer = Child([script, "--no-defaults", *self._user(), *options], environment)
        try:
            installer.spawn()
            code = await installer.wait(START_SECONDS)
            assert code == 0, f"{script} ended with {code}:\n{installer.log}"
        finally:
            await installer.close()

    async def _answers(self) -> bool:
        assert self.process.exit_code is None, "it ended at once"
        return await databases.answers(self.url)


@contextlib.asynccontextmanager
async def private_redis(*options: str, folder: Path | None = None) -> AsyncGenerator[PrivateRedis]:
    """A Redis of the test's own, started; raises `NotInstalled` if there is none."""
    server = PrivateRedis(*options, folder=folder)
    try:
        await server.start()
        yield server
    finally:
        await server.close()


@contextlib.asynccontextmanager
async def private_mariadb(*options: str, folder: Path | None = None) -> AsyncGenerator[PrivateMariadb]:
    """A MariaDB of the test's own, started; raises `NotInstalled` if there is none."""
    server = PrivateMariadb(*options, folder=folder)
    try:
        await server.start()
        yield server
    finally:
        await server.close()
