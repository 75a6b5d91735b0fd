"""An asynchronous replica of a MariaDB, as it runs in production: its own server, its own data, real lag."""

import contextlib
from collections.abc import AsyncGenerator
from typing import NamedTuple
from urllib.parse import urlsplit

from imc_testkit import databases
from imc_testkit.servers import PrivateMariadb

_CATCH_UP_SECONDS = 30
_PRIMARY = ("--server-id=1", "--log-bin=binlog", "--binlog-format=ROW")
_REPLICA = ("--server-id=2",)


class PrivateReplica(PrivateMariadb):
    """Replicates ``primary`` from its beginning, and goes on by itself after each start."""

    def __init__(self, primary: PrivateMariadb) -> None:
        super().__init__(*_REPLICA)
        self._primary = primary
        self._is_replicating = False

    def url_of(self, url: str) -> str:
        """The URL of the replica of the database at ``url``."""
        parts = urlsplit(url)
        return parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{self.port}")).geturl()

    async def start(self) -> None:
        """Start it, or start it again with the data it left."""
        await super().start()
        if not self._is_replicating:
            await databases.run(
                self.url,
                f"CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {self._primary.port}, "
                "MASTER_USER = 'imc', MASTER_PASSWORD = 'imc', MASTER_CONNECT_RETRY = 1, "
                "MASTER_USE_GTID = slave_pos",
                "START SLAVE",
            )
            self._is_replicating = True

    async def stop_applying(self) -> None:
        """Stop the SQL thread: what the primary does from here on is received, and not applied."""
        await databases.run(self.url, "STOP SLAVE SQL_THREAD")

    async def go_on_applying(self) -> None:
        """Start the SQL thread again: it applies what was received meanwhile."""
        await databases.run(self.url, "START SLAVE SQL_THREAD")

    async def delay(self, seconds: int) -> None:
        """Apply each transaction so many seconds after the primary did; 0 ends it."""
        await databases.run(
            self.url, "STOP SLAVE", f"CHANGE MASTER TO MASTER_DELAY = {int(seconds)}", "START SLAVE"
        )

    async def caught_up(self) -> None:
        """Wait until it has applied all that the primary has done so far."""
        [(position,)] = await databases.run(self._primary.url, "SELECT @@gtid_binlog_pos")
        wait = f"SELECT MASTER_GTID_WAIT('{position}', {_CATCH_UP_SECONDS})"
        [(code,)] = await databases.run(self.url, wait)
        assert code == 0, f"the replica has not applied {position} within {_CATCH_UP_SECONDS} s"


class Replicated(NamedTuple):
    """A primary and its replica."""

    primary: PrivateMariadb
    replica: PrivateReplica


@contextlib.asynccontextmanager
async def replicated_mariadb() -> AsyncGenerator[Replicated]:
    """A MariaDB of the test's own and a replica of it, started; raises `NotInstalled` if there is none."""
    primary = PrivateMariadb(*_PRIMARY)
    replica = PrivateReplica(primary)
    try:
        await primary.start()
        await replica.start()
        yield Replicated(primary, replica)
    finally:
        await replica.close()
        await primary.close()
