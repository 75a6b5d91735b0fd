from typing import Any

import pytest
from imc_service.http.server import reachable
from imc_service.redis import url as redis_url
from imc_service.settings import Settings, SettingsError, load
from imc_service.urls import DatabaseUrl, HttpUrl, RedisUrl, authority
from pydantic import SecretStr, TypeAdapter, ValidationError

REDIS: TypeAdapter[SecretStr] = TypeAdapter(RedisUrl)
DATABASE: TypeAdapter[SecretStr] = TypeAdapter(DatabaseUrl)
HTTP: TypeAdapter[str] = TypeAdapter(HttpUrl)


class PushNodeLike(Settings):
    redis_url: RedisUrl


@pytest.mark.parametrize(
    "url",
    [
        *("redis://h", "redis://[::1]:6379/0", "rediss://:pw@h:6380/1", "unix:///run/redis.sock"),
        *(
            "redis+cluster://h",
            "redis+cluster://u:p@h:7000,[::1]:7001,i/0",
            "rediss+cluster://h?ssl_ca_certs=/x",
        ),
        *("redis+sentinel://h/imc", "redis+sentinel://u:p,w@h:26379,[::1]:1/imc/3?sentinel_password=a%26b"),
        "rediss+sentinel://h,i/my.imc-1/0?sentinel_username=u&sentinel_password=p&ssl_cert_reqs=none",
    ],
)
def test_redis_urls(url: str) -> None:
    assert REDIS.validate_python(url).get_secret_value() == url


def test_a_url_of_a_cluster_says_where_its_nodes_are() -> None:
    place = redis_url.parse(redis_url.check("rediss+cluster://u:p%40@h:7000,[::1],i/?ssl_ca_certs=/x"))
    assert (place.kind, place.is_tls) == ("cluster", True)
    assert place.addresses == (("h", 7000), ("::1", 6379), ("i", 6379))
    assert place.server_url(("::1", 7001)) == "rediss://u:p%40@[::1]:7001/?ssl_ca_certs=%2Fx"


def test_a_url_of_sentinels_says_where_they_are_and_who_asks_them() -> None:
    url = "redis+sentinel://u:p@h,i:7/imc/3?sentinel_username=s&sentinel_password=a%26b%40"
    place = redis_url.parse(redis_url.check(url))
    assert (place.kind, place.service, place.is_tls) == ("sentinel", "imc", False)
    assert place.addresses == (("h", 26379), ("i", 7))
    assert place.server_url(("m", 6379)) == "redis://u:p@m:6379/3"
    assert place.sentinel_url(("h", 26379)) == "redis://s:a%26b%40@h:26379/"
    for own, credentials in (("?sentinel_password=p", ":p@"), ("?sentinel_username=s", "s@"), ("", "")):
        place = redis_url.parse(f"redis+sentinel://u:p@h/imc{own}")
        assert place.sentinel_url(("h", 1)) == f"redis://{credentials}h:1/"


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
        "redis+cluster://u:s3cret@h,",
        "redis+cluster://u:s3cret@h,i:port",
        "redis+cluster://u:s3cret@h,::1:6379",
        "redis+cluster://u:s3cret@h,[::1",
        "redis+cluster://u:s3cret@h/1",
        "redis+cluster://u:s3cret@h?db=0",
        "redis+cluster://u:s3cret@h?sentinel_password=s3",
        "redis+cluster://u:s3/cret@h:1,i:2",
        "rediss+cluster://u:s3cret@h?ssl_cert_reqs=perhaps",
        "redis+sentinel://u:s3cret@h,i",
        "redis+sentinel://u:s3cret@h,i/",
        "redis+sentinel://u:s3cret@h,i/imc/one",
        "redis+sentinel://u:s3cret@h,i/imc/0/x",
        "redis+sentinel://u:s3cret@h,i/im c",
        "redis+sentinel://u:s3cret@h/imc?sentinel_password=",
        "redis+sentinel://u:s3cret@h/imc?sentinel_password=%ff",
        "redis+sentinel://u:s3cret@h/imc?db=s3",
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
