"""Centrifugo 6, configured to do what IMC does: a log for each channel in Redis, and pushes without gaps."""

import base64
import contextlib
import hashlib
import hmac
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import orjson
from imc_testkit.child import free_port
from imc_testkit.servers import private_redis

from imc_bench import cores
from imc_bench.installation import PUBSUB_BUFFER
from imc_bench.peers import installing
from imc_bench.processes import listening
from imc_bench.rows import InvalidRun

HISTORY = 200_000
"""How many messages of a channel are kept."""

PUBLISH, PUBLISH_BATCH = "/api/publish", "/api/batch"
_SECRET = "bench"  # noqa: S105 - of a server that only this machine reaches
_HEADER = {"typ": "JWT", "alg": "HS256"}
_LONG = "24h"
_ONE_CORE = {"GOMAXPROCS": "1"}


@dataclass(frozen=True)
class Centrifugo:
    """A running server, and its Redis."""

    port: int
    pid: int
    redis_url: str
    redis_pid: int


@contextlib.asynccontextmanager
async def centrifugo() -> AsyncGenerator[Centrifugo]:
    """Run Centrifugo and a new Redis, both on the server core. Raises `NotInstalled`."""
    program = installing.centrifugo()
    port = free_port()
    async with private_redis(*PUBSUB_BUFFER) as redis:
        cores.pin(redis.process.pid, cores.choose().server)
        written = configure(installing.CACHE / "centrifugo", port, redis.url)
        async with listening([program, "--config", str(written)], _ONE_CORE, port) as child:
            yield Centrifugo(port, child.pid, redis.url, redis.process.pid)


def configure(folder: Path, port: int, redis_url: str) -> Path:
    """Write the configuration into ``folder``; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.json"
    path.write_bytes(orjson.dumps(configuration(port, redis_url)))
    return path


def configuration(port: int, redis_url: str) -> dict[str, object]:
    """The configuration. Calls need no key, as IMC's need no token when it is measured."""
    return {
        "http_server": {"address": "127.0.0.1", "port": port},
        "log": {"level": "error"},
        "engine": {"type": "redis", "redis": {"address": redis_url}},
        "channel": {
            "without_namespace": {"history_size": HISTORY, "history_ttl": _LONG, "force_recovery": True}
        },
        # Its pings are frames of text, which would come at another place in each listener's stream.
        "client": {"token": {"hmac_secret_key": _SECRET}, "ping_interval": _LONG},
        "uni_websocket": {"enabled": True},
        "http_api": {"insecure": True},
        # By default it reports to its makers how it is used.
        "usage_stats": {"disabled": True},
    }


def token(user: str, channel: str) -> str:
    """The token of a connection that listens to one channel (JWT, RFC 7519)."""
    parts = (_HEADER, {"sub": user, "channels": [channel]})
    signed = b".".join(_encoded(orjson.dumps(part)) for part in parts)
    signature = hmac.digest(_SECRET.encode(), signed, hashlib.sha256)
    return b".".join((signed, _encoded(signature))).decode()


def stream(channel: str) -> tuple[str, str]:
    """The keys in Redis of a channel: its log, and what is known of the log."""
    return f"centrifugo.stream.{channel}", f"centrifugo.stream.meta.{channel}"


def offset(reply: bytes) -> int:
    """Where a message was put into the log of its channel, by the reply to `PUBLISH`.

    Raises `InvalidRun` if it was refused.
    """
    # Refusals are answered with status 200.
    result = orjson.loads(reply).get("result")
    if result is None:
        raise InvalidRun(f"a send was answered with {reply[:300]!r}")
    return result["offset"]


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
