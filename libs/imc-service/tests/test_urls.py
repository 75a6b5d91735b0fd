from typing import Any

import pytest
from imc_service.listening import reachable
from imc_service.urls import DatabaseUrl, HttpUrl, RedisUrl, authority
from pydantic import SecretStr, TypeAdapter, ValidationError

REDIS: TypeAdapter[SecretStr] = TypeAdapter(RedisUrl)
DATABASE: TypeAdapter[SecretStr] = TypeAdapter(DatabaseUrl)
HTTP: TypeAdapter[str] = TypeAdapter(HttpUrl)


@pytest.mark.parametrize("url", ["redis://h", "rediss://:pw@h:6380/1", "unix:///run/redis.sock"])
def test_redis_urls(url: str) -> None:
    assert REDIS.validate_python(url).get_secret_value() == url


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:p@h/db",
        "mariadb://h/db",
        "mysql+aiomysql://h/db",
        "sqlite:///imc.db",
        "sqlite:////x/imc.db",
    ],
)
def test_database_urls(url: str) -> None:
    assert DATABASE.validate_python(url).get_secret_value() == url


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://h", "http://h"),
        ("https://h:8443/", "https://h:8443"),
        ("http://[::1]:80/x/", "http://[::1]:80/x"),
    ],
)
def test_http_urls_end_without_a_slash(given: str, url: str) -> None:
    assert HTTP.validate_python(given) == url


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        *[(REDIS, url) for url in ("", "h", "http://h", "mysql://h", "xredis://h")],
        *[(DATABASE, url) for url in ("", "db", "redis://h", "postgresql://h", "mysqlx://h")],
        *[(HTTP, url) for url in ("", "h", "h:80", "http://", "http:///x", "ftp://h", "javascript:x")],
    ],
)
def test_other_urls_are_refused(kind: TypeAdapter[Any], url: str) -> None:
    with pytest.raises(ValidationError, match="must be"):
        kind.validate_python(url)


@pytest.mark.parametrize(
    ("host", "told", "at"),
    [
        ("::1", "::1", "[::1]:80"),
        ("[::1]", "::1", "[::1]:80"),
        ("::", "127.0.0.1", "127.0.0.1:80"),
        ("0.0.0.0", "127.0.0.1", "127.0.0.1:80"),
        ("192.0.2.1", "192.0.2.1", "192.0.2.1:80"),
        ("imc.test", "imc.test", "imc.test:80"),
    ],
)
def test_a_url_names_an_address_that_answers(host: str, told: str, at: str) -> None:
    assert reachable(host) == told
    assert authority(reachable(host), 80) == at
