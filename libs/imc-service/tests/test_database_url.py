"""URLs of databases: every name, password and path can be written, and no error shows one."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from imc_service.database.database import open_database
from imc_service.database.url import Host, MysqlServer, SqliteFile, parse, sqlite_url
from imc_service.settings import Settings, SettingsError, load
from imc_service.urls import DatabaseUrl

PATHS = [
    *("d#ata", "d?ata", "100%", "%41", "a b", "a:b", "a@b"),
    *("a&b=c", "密码", "a\\b", "a;b", "'\"", "\udcff\udc80"),
]


class _Settings(Settings):
    database_url: DatabaseUrl


def server(url: str) -> MysqlServer:
    place = parse(url)
    assert isinstance(place, MysqlServer)
    return place


def test_each_part_is_decoded() -> None:
    place = server("mariadb+aiomysql://%E5%AF%86%40:p%2F%3F%23%25%3A@Db.Example:3307/a%2Fb%23")
    assert (place.user, place.password, place.hosts) == ("密@", b"p/?#%:", (Host("Db.Example", 3307),))
    assert (place.database, place.unix_socket, place.tls()) == ("a/b#", None, None)


def hosts(written: str) -> tuple[Host, ...]:
    return server(f"mysql://u:secret@{written}/db").hosts


@pytest.mark.parametrize(
    ("written", "password"),
    [
        ("密码", "密码".encode()),
        ("%E5%AF%86%E7%A0%81", "密码".encode()),
        ("a@b:c", b"a@b:c"),
        ("100%", b"100%"),
        ("%FF%00", b"\xff\0"),
        ("a+b", b"a+b"),
        ("＠", "＠".encode()),
        ("", b""),
    ],
)
def test_a_password_is_bytes(written: str, password: bytes) -> None:
    place = server(f"mysql://u:{written}@h/db")
    assert (place.user, place.password, place.hosts, place.database) == (
        "u",
        password,
        (Host("h", 3306),),
        "db",
    )
    assert written not in repr(place) or written == ""


def test_hosts_and_sockets() -> None:
    assert hosts("[::1]:3307") == (Host("::1", 3307),)
    assert hosts("[fe80::1%25eth0]") == (Host("fe80::1%eth0", 3306),)
    assert hosts("h") == (Host("h", 3306),)
    place = server("mysql://u:p@/db?unix_socket=/run/a%20b.sock")
    assert (place.hosts, place.unix_socket) == ((Host("localhost", 3306),), "/run/a b.sock")


def test_several_hosts_keep_their_order() -> None:
    assert hosts("b:3307,[::1],a,[::1]:3307") == (
        *(Host("b", 3307), Host("::1", 3306), Host("a", 3306), Host("::1", 3307)),
    )
    assert [str(host) for host in hosts("a,[::1]:1")] == ["a:3306", "[::1]:1"]
    assert server("mysql://u:a,b@c,d/db").password == b"a,b"


@pytest.mark.parametrize(
    ("url", "cure"),
    [
        ("mysql://u:secret#x@h/db", "# %23"),
        ("mysql://u:secret/x@h/db", "/ is written %2F"),
        ("mysql://u:secret?x@h/db", "? %3F"),
        ("mysql://u:secret@h:port/db", "must be mysql://"),
        ("mysql://u:secret@h:99999/db", "a port from 1 to 65535"),
        ("mysql://u:secret@h:0/db", "a port from 1 to 65535"),
        ("mysql://u:secret@::1/db", "must be mysql://"),
        ("mysql://u:secret@a,::1/db", "an IPv6 address is in brackets"),
        ("mysql://u:secret@a,b:0/db", "a port from 1 to 65535"),
        ("mysql://u:secret@a,/db", "a host on both sides of each comma"),
        ("mysql://u:secret@,a/db", "a host on both sides of each comma"),
        ("mysql://u:secret@a,b,a:3306/db", "name each host once"),
        ("mysql://u:secret@a,b/db?unix_socket=/s", "one host if it has a unix_socket"),
        ("mysql://u:secret@h", "must be mysql://"),
        ("mysql://u:secret@h/", "must be mysql://"),
        ("mysql://u:secret@h/db#x", "must be mysql://"),
        ("mysql://\udcffsecret:x@h/%FF", "UTF-8"),
        ("postgresql://u:secret@h/db", "must begin with mysql://"),
        ("secret", "must begin with mysql://"),
        ("mysql://u:secret@h/db?ssl=maybe", "ssl in it must be true or false"),
        ("sqlite:///secret?mode=ro", "a ? in the path is written %3F"),
        ("sqlite://", "names a file"),
        ("sqlite:///:memory:", "names a file"),
        ("sqlite:///secret%00", "names a file"),
    ],
)
def test_what_can_not_be_used_is_told_with_the_cure_and_without_the_secret(url: str, cure: str) -> None:
    with pytest.raises(ValueError, match="must") as refused:
        parse(url)
    assert cure in str(refused.value)
    assert "secret" not in str(refused.value)
    if url.isprintable():
        with pytest.raises(SettingsError) as told:
            load(_Settings, {"IMC_DATABASE_URL": url})
        assert "IMC_DATABASE_URL: " in str(told.value)
        assert "secret" not in str(told.value)


_NAMELESS = """
import os, pwd
def nobody(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")
pwd.getpwuid = nobody
for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
    os.environ.pop(variable, None)
"""


def test_a_url_without_a_user_means_the_one_of_the_system_if_it_has_a_name() -> None:
    ask = "from imc_service.database.url import parse\nprint(parse('mysql://h/db').user)"
    named = subprocess.run([sys.executable, "-c", ask], env={"USER": "me"}, capture_output=True, text=True)
    assert named.stdout == "me\n"
    nameless = subprocess.run(
        [sys.executable, "-c", _NAMELESS + ask], env={}, capture_output=True, text=True, check=False
    )
    assert "ValueError: must name a user" in nameless.stderr


@pytest.mark.parametrize("name", PATHS)
async def test_a_database_file_may_be_anywhere(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    url = sqlite_url(folder / f"{name}.db")
    assert url.isascii()
    assert load(_Settings, {"IMC_DATABASE_URL": url}).database_url.get_secret_value() == url
    async with open_database(url) as database, database.session() as session:
        await session.execute("CREATE TABLE kept (id INTEGER)")
    assert os.listdir(folder) == [f"{name}.db"]
    assert os.listdir(tmp_path) == [name]


def test_a_path_that_needs_no_escape_is_taken_as_it_is() -> None:
    assert parse("sqlite:///data/a#b 密.db") == SqliteFile("data/a#b 密.db")
    assert parse("sqlite:////data/imc.db") == SqliteFile("/data/imc.db")


def _modes(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()}


@pytest.mark.parametrize("mask", [0o000, 0o022])
async def test_nobody_else_reads_the_file_nor_what_is_beside_it(tmp_path: Path, mask: int) -> None:
    path = tmp_path / "imc.db"
    before = os.umask(mask)
    try:
        for _ in range(2):
            async with open_database(sqlite_url(path)) as database, database.session() as session:
                await session.fetch_all("PRAGMA journal_mode = WAL")
                await session.execute("CREATE TABLE IF NOT EXISTS kept (id INTEGER)")
                assert _modes(tmp_path) == dict.fromkeys(("imc.db", "imc.db-wal", "imc.db-shm"), 0o600)
            # As an earlier release left them: readable by all, and in use.
            holder = sqlite3.connect(path)
            holder.execute("SELECT * FROM kept")
            for name in _modes(tmp_path):
                os.chmod(tmp_path / name, 0o644)
            async with open_database(sqlite_url(path)):
                assert set(_modes(tmp_path).values()) == {0o600}
            holder.close()
    finally:
        os.umask(before)
