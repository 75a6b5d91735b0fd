"""The types of URLs in settings."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

from imc_service.database import url as database_url
from imc_service.redis import url as redis_url


def authority(host: str, port: int) -> str:
    """``host:port`` as URLs spell it: an IPv6 address is in brackets (RFC 3986, section 3.2.2)."""
    host = host.strip("[]")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _redis(url: SecretStr) -> SecretStr:
    return SecretStr(redis_url.check(url.get_secret_value()))


def _database(url: SecretStr) -> SecretStr:
    database_url.parse(url.get_secret_value())
    return url


def _http(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be http://HOST or https://HOST")
    return url.rstrip("/")


def _web_socket(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be ws://HOST or wss://HOST, with a path if need be, without a query")
    return url.rstrip("/")


RedisUrl = Annotated[SecretStr, AfterValidator(_redis)]
"""redis://, unix://, redis+cluster:// or redis+sentinel://, or rediss… with TLS. May hold a password."""

DatabaseUrl = Annotated[SecretStr, AfterValidator(_database)]
"""mysql:// or mariadb:// (both mean MySQL's protocol) or sqlite:///. Secret, since it may hold a password."""

HttpUrl = Annotated[str, AfterValidator(_http)]
"""http:// or https://, without a slash at the end."""

WebSocketUrl = Annotated[str, AfterValidator(_web_socket)]
"""ws:// or wss://, without a slash at the end."""
