"""A new Redis and a migrated MariaDB for the measured processes."""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from imc_testkit.databases import new_database
from imc_testkit.processes import run_script
from imc_testkit.servers import private_mariadb, private_redis

from imc_bench.processes import PRODUCTION

_MARIADB = ("--innodb-buffer-pool-size=2G", "--innodb-log-file-size=512M")


@dataclass(frozen=True)
class Stores:
    """URLs and process ids of Redis and MariaDB."""

    redis_url: str
    redis_pid: int
    database_url: str
    mariadb_pid: int

    @property
    def env(self) -> dict[str, str]:
        """Settings of a measured process of IMC that uses these servers."""
        return {**PRODUCTION, "IMC_REDIS_URL": self.redis_url, "IMC_DATABASE_URL": self.database_url}


@contextlib.asynccontextmanager
async def stores() -> AsyncGenerator[Stores]:
    """Start both servers on the load core."""
    async with (
        private_redis() as redis,
        private_mariadb(*_MARIADB) as mariadb,
        new_database(mariadb.url) as database_url,
    ):
        await run_script("imc-migrate", {"IMC_DATABASE_URL": database_url})
        yield Stores(redis.url, redis.process.pid, database_url, mariadb.process.pid)
