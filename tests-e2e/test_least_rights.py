"""Each process with a user of its own, that may do what it must and no more; and every connection by TLS."""

import subprocess
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiomysql
import httpx
import pytest
from imc_command_api.store.due_rows import DueRows
from imc_command_api.store.removal import Removal, Removed
from imc_contracts.cursor import EntryId
from imc_service.database.database import StoreUnavailable, open_database
from imc_testkit import databases
from imc_testkit.deployment import Deployment, Start, separate
from imc_testkit.gateway import connect
from imc_testkit.processes import Process, free_port, run_script
from imc_testkit.programs import search_path
from imc_testkit.servers import PrivateMariadb, PrivateRedis, private_mariadb, private_redis
from imc_testkit.tokens import OFF
from imc_testkit.waiting import wait_until
from redis.asyncio import Redis

DEPLOY = Path(__file__).parents[1] / "deploy"
USERS = ("command-api", "projector", "push-node", "query-api", "migrate", "operator", "exporter")
PASSWORDS = {user: f"pass-{user}.1~" for user in USERS}
_ENVIRONMENT = {
    f"IMC_{store}_{user.upper().replace('-', '_')}_PASSWORD": password
    for user, password in PASSWORDS.items()
    for store in ("REDIS", "DB")
}


@dataclass(frozen=True)
class TlsRedis:
    """A Redis with the users of the template; it also listens with TLS."""

    server: PrivateRedis
    tls_port: int

    @property
    def plain(self) -> str:
        return f"127.0.0.1:{self.server.port}/0"


def filled_in(template: Path, environment: dict[str, str] = _ENVIRONMENT) -> str:
    """A template of users as fill-in.sh prints it; raises `CalledProcessError`."""
    command = ["sh", str(DEPLOY / "fill-in.sh"), str(template)]
    env = {"PATH": search_path(), **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key and the certificate of 127.0.0.1, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    subject = ["-subj", "/CN=imc.test", "-addext", "subjectAltName=IP:127.0.0.1"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem"]
    subprocess.run(
        ["openssl", "req", "-x509", "-days", "2", *key, *subject, "-out", "certificate.pem"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    (folder / "key.pem").chmod(0o644)
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def acl_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("acl") / "users.acl"
    administrator = "user administrator reset on >admin ~* &* +@all\n"
    path.write_text(filled_in(DEPLOY / "redis/users.acl") + administrator)
    return path


@pytest.fixture(scope="module")
def init_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("init")
    folder.chmod(0o755)
    path = folder / "users.sql"
    administrator = "CREATE USER IF NOT EXISTS 'imc'@'127.0.0.1' IDENTIFIED BY 'imc';\n"
    rights = "GRANT ALL PRIVILEGES ON *.* TO 'imc'@'127.0.0.1';\n"
    path.write_text(filled_in(DEPLOY / "mariadb/users.sql") + administrator + rights)
    return path


@pytest.fixture(scope="module")
async def redis_server(certificate: Path, acl_file: Path) -> AsyncGenerator[TlsRedis]:
    tls_port = str(free_port())
    tls = {
        "--tls-port": tls_port,
        "--tls-cert-file": str(certificate / "certificate.pem"),
        "--tls-key-file": str(certificate / "key.pem"),
        "--tls-auth-clients": "no",
    }
    options = [part for pair in tls.items() for part in pair]
    async with private_redis("--aclfile", str(acl_file), *options) as server:
        yield TlsRedis(server, int(tls_port))


@pytest.fixture(scope="module")
async def mariadb_server(certificate: Path, init_file: Path) -> AsyncGenerator[PrivateMariadb]:
    tls = [f"--ssl-cert={certificate / 'certificate.pem'}", f"--ssl-key={certificate / 'key.pem'}"]
    async with private_mariadb(*tls, f"--init-file={init_file}") as server:
        await databases.run(server.url, "CREATE DATABASE imc CHARACTER SET latin1")
        yield server


def redis_url(server: TlsRedis, certificate: Path, user: str) -> str:
    trust = f"ssl_ca_certs={certificate / 'certificate.pem'}"
    return f"rediss://{user}:{PASSWORDS[user]}@127.0.0.1:{server.tls_port}/0?{trust}"


def database_url(server: PrivateMariadb, certificate: Path, user: str) -> str:
    trust = f"ssl=true&ssl_ca={certificate / 'certificate.pem'}"
    return f"mysql://imc-{user}:{PASSWORDS[user]}@127.0.0.1:{server.port}/imc?{trust}"


@pytest.fixture(scope="module")
async def deployment(
    redis_server: TlsRedis, mariadb_server: PrivateMariadb, certificate: Path
) -> AsyncGenerator[Deployment]:
    def start(user: str, *, redis: bool = True, database: bool = True) -> list[Start]:
        env: dict[str, str] = {}
        env |= {"IMC_REDIS_URL": redis_url(redis_server, certificate, user) if redis else ""}
        env |= {"IMC_DATABASE_URL": database_url(mariadb_server, certificate, user) if database else ""}
        return [Start(env)]

    migrating = database_url(mariadb_server, certificate, "migrate")
    await run_script("imc-migrate", {"IMC_DATABASE_URL": migrating})
    async with separate(
        "",
        "",
        command_apis=start("command-api"),
        projectors=start("projector"),
        query_apis=start("query-api"),
        push_nodes=start("push-node", database=False),
    ) as deployment:
        yield deployment


async def test_the_journey_needs_no_more_rights_than_are_given(
    deployment: Deployment, redis_server: TlsRedis, http: httpx.AsyncClient, app_id: str
):
    command, query = deployment.command_apis[0].url, deployment.query_apis[0].url
    ids = {"appId": app_id, "groupId": "g", "userId": "u"}

    async def post(path: str, **fields: Any) -> dict[str, Any]:
        reply = (await http.post(command + path, json=fields)).json()
        assert reply["success"], reply
        return reply["data"]

    async def total(path: str) -> int:
        return (await http.get(query + path, params={"appId": app_id, "groupId": "g"})).json()["data"][
            "total"
        ]

    async with connect(deployment.push_nodes[0].url, app_id, "a", notices=True) as gateway:
        await gateway.wait_for_code(2000)
        await gateway.send_json({**ids, "content": "one", "clientMessageId": "1"})
        await gateway.wait_for_code(2003)
        sent = await post("/v1/commands/send-message", **ids, content="two")
        await post("/chat/message/recall", messageId=sent["messageId"])
        notice = await post("/v1/commands/publish-notice", **ids, content="notice")
        await post("/v1/commands/delete-notice", informationId=notice["informationId"], appId=app_id)
        for code in (2001, 2002, 2004, 2005):
            await gateway.wait_for_code(code)
        cursor = gateway.cursor

    async def is_stored() -> bool:
        return await total("/chat/message/findByGroupId") == 2

    await wait_until(is_stored)
    assert await total("/notice/information/findByGroupId") == 0
    async with connect(deployment.push_nodes[0].url, app_id, "a", cursor=cursor) as again:
        assert (await again.wait_for_code(2000))[0]["recovered"]
    for process in deployment.processes:
        assert "NOPERM" not in process.log
        assert "NoPermission" not in process.log
    async with Redis.from_url(f"redis://administrator:admin@{redis_server.plain}") as redis:
        assert [(entry["username"], entry["object"]) for entry in await redis.acl_log()] == []


async def test_the_projector_may_remove_rows(
    deployment: Deployment, mariadb_server: PrivateMariadb, app_id: str
):
    admin = mariadb_server.url.replace("/mysql", "/imc")
    await databases.run(
        admin,
        "INSERT INTO imc_message (message_id, app_id, group_id, user_id, content, create_time, log_id)"
        f" VALUES (1, '{app_id}', 'g', 'u', '', 1, '{EntryId(1, 1).column}')",
        f"INSERT INTO imc_group VALUES ('{app_id}', 'g', 1, 1, 1)",
    )
    url = f"mysql://imc-projector:{PASSWORDS['projector']}@127.0.0.1:{mariadb_server.port}/imc"
    async with open_database(url) as database:
        assert await DueRows(database).apps(app_id[:-1], 1) == [app_id]
        assert await Removal(database).remove(app_id, message_ids=[1]) == Removed(1, 0, 1)


FORBIDDEN_IN_MARIADB = [
    *(
        (user, statement)
        for user in ("command-api", "projector", "query-api")
        for statement in (
            "DROP TABLE imc_message",
            "ALTER TABLE imc_message ADD COLUMN x INT",
            "CREATE TABLE x (y INT)",
            "SELECT * FROM mysql.user",
            "SELECT 1 INTO OUTFILE '/tmp/imc-forbidden'",
        )
    ),
    ("command-api", "DELETE FROM imc_message"),
    ("query-api", "DELETE FROM imc_message"),
    ("query-api", "UPDATE imc_message SET content = ''"),
    ("query-api", "INSERT INTO imc_notice (information_id) VALUES (1)"),
    *(
        (user, statement)
        for user in ("operator", "exporter")
        for statement in (
            "DELETE FROM imc_message",
            "UPDATE imc_message SET content = ''",
            "DROP TABLE imc_message",
            "CREATE USER x",
            "SELECT * FROM mysql.user",
            "SELECT 1 INTO OUTFILE '/tmp/imc-forbidden'",
            "SET GLOBAL read_only = 1",
        )
    ),
    ("exporter", "SELECT content FROM imc_message"),
    ("exporter", "KILL 1"),
    ("exporter", "SET GLOBAL max_connections = 10"),
    ("migrate", "CREATE USER x"),
    ("migrate", "SELECT * FROM mysql.user"),
]


@pytest.mark.parametrize(("user", "statement"), FORBIDDEN_IN_MARIADB)
async def test_what_a_process_has_no_need_of_the_database_refuses_it(
    deployment: Deployment, mariadb_server: PrivateMariadb, user: str, statement: str
):
    url = f"mysql://imc-{user}:{PASSWORDS[user]}@127.0.0.1:{mariadb_server.port}/imc"
    with pytest.raises(aiomysql.OperationalError) as refused:  # pyright: ignore[reportUnknownArgumentType]
        await databases.run(url, statement)
    assert refused.value.args[0] in (1044, 1045, 1095, 1142, 1227)


@pytest.mark.parametrize("password", ["", "a b", "x' OR '1", "on\n>", "p|w"])
def test_a_password_that_would_be_more_than_one_is_not_filled_in(password: str):
    environment = {
        **_ENVIRONMENT,
        "IMC_DB_MIGRATE_PASSWORD": password,
        "IMC_REDIS_PROJECTOR_PASSWORD": password,
    }
    for template in (DEPLOY / "redis/users.acl", DEPLOY / "mariadb/users.sql"):
        with pytest.raises(subprocess.CalledProcessError) as refused:
            filled_in(template, environment)
        assert "must be set" in refused.value.stderr


@pytest.mark.parametrize("store", ["redis", "database"])
async def test_a_server_whose_certificate_nobody_vouches_for_is_not_talked_to(
    redis_server: TlsRedis, mariadb_server: PrivateMariadb, certificate: Path, store: str
):
    urls = {
        "redis": redis_url(redis_server, certificate, "command-api"),
        "database": database_url(mariadb_server, certificate, "command-api"),
    }
    urls[store] = urls[store].partition("?ssl_ca")[0].partition("&ssl_ca")[0]
    given = {**OFF, "IMC_REDIS_URL": urls["redis"], "IMC_DATABASE_URL": urls["database"]}
    if store == "database":
        with pytest.raises(AssertionError, match="CERTIFICATE_VERIFY_FAILED"):
            await run_script(
                "imc-migrate", {"IMC_DATABASE_URL": urls["database"], "IMC_MIGRATE_WAIT_SECONDS": "0"}
            )
        return
    async with Process("imc-command-api", given) as process, httpx.AsyncClient(trust_env=False) as client:

        async def says_why() -> bool:
            try:
                reply = await client.get(process.url + "/readyz")
            except httpx.TransportError:
                return False
            return reply.status_code == 503 and "Redis is out of reach" in reply.text

        await wait_until(says_why, 60)


async def test_a_database_without_tls_is_not_talked_to_in_clear(database_url: str):
    async with open_database(database_url + "?ssl=true") as database:
        with pytest.raises(StoreUnavailable):
            await database.fetch_all("SELECT 1")
