"""Connections for code that blocks, which migrations are."""

from typing import Any

import pymysql
import pymysql.err

from imc_service.database._sessions import SESSION
from imc_service.database.errors import ERRORS, meaning_of
from imc_service.database.serving import QUESTIONS, standing
from imc_service.database.url import Host, MysqlServer

CONNECT_SECONDS = 5


def connect(server: MysqlServer) -> "pymysql.Connection[Any]":
    """A connection of pymysql to the first host that serves and takes writes, set up as those of a pool.

    Raises what pymysql raises: with several hosts an OperationalError that says of each why it does not
    serve.
    """
    if len(server.hosts) == 1:
        return _connect(server, server.hosts[0])
    objections: list[str] = []
    for host in server.hosts:
        try:
            connection = _connect(server, host)
        except ERRORS as error:
            objections.append(f"{host}: {meaning_of(error)}")
            continue
        if (objection := _objection(connection)) is None:
            return connection
        connection.close()
        objections.append(f"{host}: {objection}")
    raise pymysql.err.OperationalError(f"no host serves: {'; '.join(objections)}")


def _connect(server: MysqlServer, host: Host) -> "pymysql.Connection[Any]":
    return pymysql.connect(
        host=host.name,
        port=host.port,
        user=server.user,
        password=server.password,
        database=server.database,
        unix_socket=server.unix_socket,
        ssl=server.tls(),
        charset="utf8mb4",
        connect_timeout=CONNECT_SECONDS,
        init_command=SESSION,
    )


def _objection(connection: "pymysql.Connection[Any]") -> str | None:
    answer: list[tuple[str, str]] = []
    with connection.cursor() as cursor:
        for question in QUESTIONS:
            cursor.execute(question)
            answer += cursor.fetchall()
    return standing(answer, may_be_read_only=False).objection
