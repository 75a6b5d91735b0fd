"""Reads the URL of a database.

``mysql://USER:PASSWORD@HOST:PORT/DATABASE``, with ``?unix_socket=/path`` or ``?ssl=true&ssl_ca=/path`` if
needed; ``mariadb://`` means the same. Instead of one ``HOST:PORT`` there may be several with commas between
them: nodes of a Galera cluster, or a primary and its standby.

``sqlite:///PATH`` names a file: relative after three slashes, absolute after four. In each part ``%XX`` is a
byte, so that any name, password and path can be written.
"""

import contextlib
import getpass
import os
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote_to_bytes

DEFAULT_PORT = 3306
_PRIVATE = 0o600
_SCHEMES = {"mysql", "mariadb", "sqlite"}
_SERVER = re.compile(
    r"""
    [a-z0-9+]+://
    (?:(?P<user>[^:@/?\#]*)(?::(?P<password>[^/?\#]*))?@)?
    (?P<hosts>[^@/?\#]*)
    /(?P<database>[^/?\#]+)
    (?:\?(?P<options>[^\#]*))?
    """,
    re.VERBOSE,
)
_HOST = re.compile(r"(?:\[(?P<ipv6>[^\[\]]+)\]|(?P<name>[^:\[\]]*))(?::(?P<port>[0-9]{1,5}))?")
_FORM = (
    "must be mysql://USER:PASSWORD@HOST:PORT/DATABASE, or several HOST:PORT with commas between them; in a "
    "user, password or database / is written %2F, ? %3F, # %23, % %25; an IPv6 address is in brackets"
)


@dataclass(frozen=True)
class Host:
    """Where one server listens."""

    name: str
    """Its name, or its address without brackets."""

    port: int

    def __str__(self) -> str:
        """As a URL has it: an IPv6 address is in brackets (RFC 3986, section 3.2.2)."""
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


@dataclass(frozen=True)
class MysqlServer:
    """A database on a server of MySQL's protocol, or on several that have the same rows."""

    hosts: tuple[Host, ...]
    """One or more, in the order in which they are tried."""

    user: str
    database: str
    password: bytes = field(repr=False)
    unix_socket: str | None
    uses_tls: bool
    authorities: str | None
    """The file of the certificate authorities; those of the system if None."""

    def tls(self) -> ssl.SSLContext | None:
        """The TLS context, or None without TLS. Reads files."""
        return ssl.create_default_context(cafile=self.authorities) if self.uses_tls else None


@dataclass(frozen=True)
class SqliteFile:
    """A database in a file. ``path`` may hold bytes that are no text, as `os.fsdecode` keeps them."""

    path: str

    def keep_private(self) -> None:
        """Create the file if it is missing, and let only its owner read it and what SQLite puts beside it.

        If it can't be created or changed, SQLite will say why.
        """
        with contextlib.suppress(OSError):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE))
        # SQLite gives new files beside it the permissions of the database. These may be older.
        for name in (self.path, *(self.path + suffix for suffix in ("-wal", "-shm", "-journal"))):
            with contextlib.suppress(OSError):
                if os.stat(name).st_mode & 0o077:
                    os.chmod(name, _PRIVATE)


def sqlite_url(path: Path) -> str:
    """The URL of a file, whatever characters or bytes are in its path."""
    return "sqlite:///" + quote(os.fsencode(path), safe="/")


def parse(url: str) -> MysqlServer | SqliteFile:
    """Read the URL. Raises `ValueError`, which shows nothing of the URL: it may hold a password."""
    scheme = url.partition("://")[0].partition("+")[0]
    if scheme not in _SCHEMES:
        raise ValueError("must begin with mysql://, mariadb:// or sqlite:///")
    return _sqlite_file(url) if scheme == "sqlite" else _mysql_server(url)


def _sqlite_file(url: str) -> SqliteFile:
    path = url.partition("://")[2].removeprefix("/")
    if "?" in path:
        raise ValueError("must be sqlite:///PATH without options; a ? in the path is written %3F")
    decoded = _bytes(path)
    if decoded in (b"", b":memory:") or b"\0" in decoded:
        raise ValueError("must be sqlite:///PATH, where PATH names a file")
    return SqliteFile(os.fsdecode(decoded))


def _mysql_server(url: str) -> MysqlServer:
    found = _SERVER.fullmatch(url)
    if found is None:
        raise ValueError(_FORM)
    hosts = _hosts(found["hosts"])
    options = {name: values[-1] for name, values in parse_qs(found["options"] or "").items()}
    uses_tls, authorities = _tls_of(options)
    if len(hosts) > 1 and "unix_socket" in options:
        raise ValueError("must have one host if it has a unix_socket")
    return MysqlServer(
        hosts=hosts,
        user=_text(found["user"] or "") or _own_name(),
        database=_text(found["database"]),
        password=_bytes(found["password"] or ""),
        unix_socket=options.get("unix_socket"),
        uses_tls=uses_tls,
        authorities=authorities,
    )


def _hosts(written: str) -> tuple[Host, ...]:
    parts = written.split(",")
    if len(parts) > 1 and "" in parts:
        raise ValueError("must have a host on both sides of each comma")
    hosts = tuple(_host(part) for part in parts)
    if len(set(hosts)) < len(hosts):
        raise ValueError("must name each host once")
    return hosts


def _host(written: str) -> Host:
    found = _HOST.fullmatch(written)
    if found is None:
        raise ValueError(_FORM)
    port = int(found["port"] or DEFAULT_PORT)
    if not 1 <= port <= 65535:
        raise ValueError("must have a port from 1 to 65535")
    return Host(_text(found["ipv6"] or found["name"]) or "localhost", port)


def _tls_of(options: dict[str, str]) -> tuple[bool, str | None]:
    uses_tls, authorities = options.get("ssl", "false"), options.get("ssl_ca")
    if uses_tls not in ("true", "false"):
        raise ValueError("ssl in it must be true or false")
    if authorities is not None and uses_tls != "true":
        raise ValueError("ssl_ca in it needs ssl=true beside it")
    if authorities is not None and not Path(authorities).is_file():
        raise ValueError("ssl_ca in it is no file")
    return uses_tls == "true", authorities


def _bytes(part: str) -> bytes:
    # Python keeps the bytes of variables that are not UTF-8 as surrogates.
    return unquote_to_bytes(os.fsencode(part))


def _text(part: str) -> str:
    try:
        return _bytes(part).decode()
    except UnicodeDecodeError:
        raise ValueError("must have a user, host and database in UTF-8") from None


def _own_name() -> str:
    """The user that clients of MySQL take if none is named."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # OSError from Python 3.13 on
        raise ValueError("must name a user: mysql://USER:PASSWORD@HOST:PORT/DATABASE") from None
