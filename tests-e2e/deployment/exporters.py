"""The exporters of Redis and MariaDB, on servers that have the users of the templates."""

import contextlib
import subprocess
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from imc_testkit import databases
from imc_testkit.child import Child, free_port
from imc_testkit.programs import program, search_path
from imc_testkit.servers import PrivateMariadb, PrivateRedis, private_mariadb, private_redis
from imc_testkit.waiting import wait_until
from redis_users import filled_in

from deployment.code import ROOT

SQL_USERS = ("migrate", "command-api", "projector", "query-api", "operator", "exporter")
_ADMINISTRATOR = "GRANT ALL PRIVILEGES ON *.* TO 'imc'@'127.0.0.1' IDENTIFIED BY 'imc' WITH GRANT OPTION;\n"


@dataclass(frozen=True)
class Servers:
    """A Redis and a MariaDB with the users of the templates; the password of each user is its name."""

    redis: PrivateRedis
    mariadb: PrivateMariadb

    def redis_url(self, user: str) -> str:
        return f"redis://{user}:{user}@127.0.0.1:{self.redis.port}/0"

    def database_url(self, user: str) -> str:
        return f"mysql://imc-{user}:{user}@127.0.0.1:{self.mariadb.port}/imc"


@contextlib.asynccontextmanager
async def servers(folder: Path) -> AsyncGenerator[Servers]:
    """Both servers, with the files of their users in ``folder``. Raises `NotInstalled` without programs."""
    acl, sql = folder / "users.acl", folder / "users.sql"
    acl.write_text(filled_in())
    sql.write_text(_users_of_mariadb() + _ADMINISTRATOR)
    async with (
        private_redis("--aclfile", str(acl)) as redis,
        private_mariadb(f"--init-file={sql}") as mariadb,
    ):
        await databases.run(mariadb.url, "CREATE DATABASE imc CHARACTER SET utf8mb4")
        yield Servers(redis, mariadb)


def _users_of_mariadb() -> str:
    passwords = {f"IMC_DB_{user.upper().replace('-', '_')}_PASSWORD": user for user in SQL_USERS}
    return subprocess.run(
        ["sh", str(ROOT / "deploy/fill-in.sh"), str(ROOT / "deploy/mariadb/users.sql")],
        env={"PATH": search_path(), **passwords},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@contextlib.asynccontextmanager
async def exporters(servers: Servers) -> AsyncGenerator[Mapping[str, str]]:
    """What each exporter says at ``/metrics``, by its name in the manifests. Each logs in as its user."""
    redis, mysqld = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    children = {
        redis: Child(
            [_of_debian("redis")],
            {
                "REDIS_ADDR": f"redis://127.0.0.1:{servers.redis.port}",
                "REDIS_USER": "exporter",
                "REDIS_PASSWORD": "exporter",
                "REDIS_EXPORTER_CONFIG_COMMAND": "-",
                "REDIS_EXPORTER_WEB_LISTEN_ADDRESS": redis,
            },
        ),
        mysqld: Child(
            [_of_debian("mysqld"), f"--web.listen-address={mysqld}"],
            {"DATA_SOURCE_NAME": f"imc-exporter:exporter@(127.0.0.1:{servers.mariadb.port})/"},
        ),
    }
    try:
        for child in children.values():
            child.spawn()
        texts = {address: await _scraped(child, address) for address, child in children.items()}
        yield {"redis-exporter": texts[redis], "mysqld-exporter": texts[mysqld]}
    finally:
        for child in children.values():
            await child.close()


def _of_debian(server: str) -> str:
    name = f"prometheus-{server}-exporter"
    return program(name, packages=[name])


async def _scraped(child: Child, address: str) -> str:
    async with httpx.AsyncClient(trust_env=False) as client:

        async def reply() -> str | None:
            assert child.exit_code is None, child.log
            try:
                return (await client.get(f"http://{address}/metrics")).text
            except httpx.TransportError:
                return None

        text = await wait_until(reply)
    assert text is not None
    return text
