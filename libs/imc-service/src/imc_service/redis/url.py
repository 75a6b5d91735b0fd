"""What a URL of Redis may look like, and what it says.

What redis-py would pass over in silence (a database that is no number), or stumble over when it connects, or
what would change how our clients work (``decode_responses``), is refused. No message shows any of the URL's
parts, since what looks like a port may be a piece of a password.
"""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, quote, unquote_to_bytes, urlencode, urlsplit

Address = tuple[str, int]
"""A host, without brackets, and a port."""

Kind = Literal["server", "cluster", "sentinel"]

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("redis", "rediss", "unix"), "server"),
    **dict.fromkeys(("redis+cluster", "rediss+cluster"), "cluster"),
    **dict.fromkeys(("redis+sentinel", "rediss+sentinel"), "sentinel"),
}
_PORTS: dict[Kind, int] = {"server": 6379, "cluster": 6379, "sentinel": 26379}

_ANY, _YES_OR_NO = r".+", r"(?i)true|false|yes|no|1|0"
_SENTINELS_OWN = "sentinel_"
_OPTIONS: dict[Kind, dict[str, str]] = {
    "server": {"db": "[0-9]{1,9}"},
    "cluster": {},
    "sentinel": {f"{_SENTINELS_OWN}username": _ANY, f"{_SENTINELS_OWN}password": _ANY},
}
_TLS_OPTIONS = {
    **dict.fromkeys(("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password"), _ANY),
    "ssl_cert_reqs": "required|optional|none",
    "ssl_check_hostname": _YES_OR_NO,
}
"""The options of each kind of connection, and what their values look like."""

_ESCAPE = "in a user or a password write / as %2F, ? as %3F, # as %23, [ as %5B, @ as %40 and % as %25"

_PATHS: dict[Kind, tuple[str, str]] = {
    "server": (r"/?[0-9]{0,9}/?", "must end in the number of a database, such as /0"),
    "cluster": ("/?0?/?", "must name no database: a cluster has only 0"),
    "sentinel": (
        r"/[A-Za-z0-9._-]+(/[0-9]{0,9})?/?",
        "must end in the name of the service that the sentinels watch and the number of a database, "
        "such as /imc/0",
    ),
}
"""What a path looks like, and what to say if it does not."""


@dataclass(frozen=True)
class Place:
    """Where the URL leads: one server, some nodes of a cluster, or some sentinels that watch ``service``."""

    kind: Kind
    addresses: tuple[Address, ...]
    service: str
    is_tls: bool
    _scheme: str
    _credentials: str
    _database: str
    _options: tuple[tuple[str, str], ...]

    def server_url(self, address: Address) -> str:
        """The URL, as redis-py takes it, of a server that holds data."""
        options = [pair for pair in self._options if not pair[0].startswith(_SENTINELS_OWN)]
        return self._url(self._credentials, address, self._database, options)

    def sentinel_url(self, address: Address) -> str:
        """The URL of a sentinel, which has users of its own."""
        own = {name.removeprefix(_SENTINELS_OWN): quote(value, safe="") for name, value in self._options}
        user, password = own.get("username", ""), own.get("password")
        credentials = user if password is None else f"{user}:{password}"
        options = [pair for pair in self._options if pair[0] in _TLS_OPTIONS]
        return self._url(f"{credentials}@" if credentials else "", address, "", options)

    def _url(self, credentials: str, address: Address, path: str, options: list[tuple[str, str]]) -> str:
        host, port = address
        at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return f"{self._scheme}://{credentials}{at}/{path}" + (f"?{urlencode(options)}" if options else "")


def parse(url: str) -> Place:
    """What a URL that `check` has returned says. A server's own URL is what redis-py takes."""
    kind, single = _singles(url)
    if kind == "server":
        return Place(kind, (), "", False, "", "", "", ())
    parts = [urlsplit(each) for each in single]
    first = parts[0]
    credentials, at, _ = first.netloc.rpartition("@")
    service, _, database = first.path.strip("/").partition("/")
    return Place(
        kind,
        tuple((part.hostname or "", part.port or _PORTS[kind]) for part in parts),
        service if kind == "sentinel" else "",
        first.scheme == "rediss",
        first.scheme,
        credentials + at,
        database if kind == "sentinel" else "",
        tuple(parse_qsl(first.query)),
    )


def check(url: str) -> str:
    """The URL, with what is not ASCII escaped.

    Raises `ValueError` that says what is wrong, without showing it.
    """
    # Where the locale knows no UTF-8, Python keeps the bytes of a variable as surrogates.
    url = _utf_8(url.encode("utf-8", "surrogateescape"))
    if url != url.strip() or any(character < " " for character in url):
        raise ValueError("must be without line breaks and control characters, and without spaces at its ends")
    if not url.startswith(tuple(f"{scheme}://" for scheme in _KINDS)):
        raise ValueError(
            "must be redis://, rediss://, unix://, redis+cluster://, rediss+cluster://, redis+sentinel:// "
            "or rediss+sentinel://, and what follows it"
        )
    if "#" in url:
        raise ValueError(f"must be without # ({_ESCAPE})")
    # Python takes some letters apart (NFKC), and refuses those that are then no letters.
    url = quote(url, safe="".join(map(chr, range(32, 127))))
    kind, singles = _singles(url)
    for single in singles:
        _check_single(kind, single)
    return url


def _singles(url: str) -> tuple[Kind, list[str]]:
    """A URL for each address of one that names several, with the scheme of a single server."""
    scheme, _, rest = url.partition("://")
    kind = _KINDS[scheme]
    if kind == "server":
        return kind, [url]
    authority, path = re.fullmatch(r"([^/?]*)(.*)", rest, re.DOTALL).groups()  # pyright: ignore
    credentials, at, hosts = authority.rpartition("@")
    base = scheme.partition("+")[0]
    return kind, [f"{base}://{credentials}{at}{host}{path}" for host in hosts.split(",")]


def _utf_8(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise ValueError("must be UTF-8, in its %-escapes too") from None


def _check_single(kind: Kind, url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(f"must be a URL, with brackets around an IPv6 address alone ({_ESCAPE})") from None
    _check_place(kind, parts)
    for text in (parts.username, parts.password, parts.path, parts.hostname, parts.query):
        _utf_8(unquote_to_bytes(text or ""))
    _check_options(kind, parts)


def _check_place(kind: Kind, parts: SplitResult) -> None:
    try:
        parts.port  # noqa: B018 - raises, and shows what it takes for a port
    except ValueError:
        raise ValueError(f"must be with a port that is a number up to 65535 ({_ESCAPE})") from None
    if parts.scheme == "unix":
        if not parts.path.strip("/"):
            raise ValueError("must be unix:///PATH")
        return
    if not parts.hostname:
        raise ValueError(
            f"must be {parts.scheme}://HOST"
            if kind == "server"
            else f"must be {parts.scheme}+{kind}://HOST:PORT,HOST:PORT, without an empty address"
        )
    if ":" in parts.hostname and "[" not in parts.netloc:
        raise ValueError("must be with brackets around an IPv6 address")
    pattern, words = _PATHS[kind]
    if not re.fullmatch(pattern, parts.path):
        raise ValueError(f"{words} ({_ESCAPE})")


def _check_options(kind: Kind, parts: SplitResult) -> None:
    options = _OPTIONS[kind] | (_TLS_OPTIONS if parts.scheme == "rediss" else {})
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in options:
            known = f"options other than {', '.join(options)}" if options else "options"
            raise ValueError(f"must be without {known} ({_ESCAPE})")
        if not re.fullmatch(options[name], value):
            raise ValueError(f"must be with a value for {name} that is one: {options[name]}")
