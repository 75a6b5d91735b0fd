from typing import Any

import pytest
from imc_service.http.server import reachable
from imc_service.settings import Settings, SettingsError, load
from imc_service.urls import DatabaseUrl, HttpUrl, RedisUrl, authority
from pydantic import SecretStr, TypeAdapter, ValidationError

REDIS: TypeAdapter[SecretStr] = TypeAdapter(RedisUrl)
DATABASE: TypeAdapter[SecretStr] = TypeAdapter(DatabaseUrl)
HTTP: TypeAdapter[str] = TypeAdapter(HttpUrl)


class PushNodeLike(Settings):
    redis_url: RedisUrl


@pytest.mark.parametrize(
    "url", ["redis://h", "redis://[::1]:6379/0", "rediss://:pw@h:6380/1", "unix:///run/redis.sock"]
)
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
    "url",
    [
        "redis://u:pa/s3cret@h:6379/0",
        "redis://u:s3cret#x@h:6379/0",
        "redis://u:s3cret?x@h:6379/0",
        "redis://u:s3[cret@h",
        "redis://u:s3[cret]x@h",
        "redis://u:s3cret@h:99999",
        "redis://u:s3cret@h:port",
        "redis://u:s3cret@:6379",
        "redis://u:s3cret@h/first",
        "redis://u:s3cret@::1:6379",
        "redis://u:s3cret%ff@h",
        "redis://u:s3cret@h\n",
        "redis://u:s3cret@h?decode_responses=true",
        "redis://u:s3cret@h?protocol=2",
        "redis://u:s3cret@h?ssl_ca_certs=/x",
        "rediss://u:s3cret@h?ssl_cert_reqs=perhaps",
        "redis://u:s3cret@h?db=one",
        "unix://u:s3cret@",
    ],
)
def test_a_url_of_redis_that_means_nothing_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(PushNodeLike, {"IMC_REDIS_URL": url})
    assert "IMC_REDIS_URL: must " in str(refused.value)
    assert "s3" not in str(refused.value)


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
