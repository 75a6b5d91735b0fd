"""Row 3, beside Centrifugo: the CPU time of all servers per send, with one message a request."""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from imc_testkit.programs import NotInstalled
from redis.asyncio import Redis

from imc_bench import rounds
from imc_bench.cpu import cpu_seconds
from imc_bench.http import callers, drafts, log_check, senders
from imc_bench.http.callers import Calls
from imc_bench.http.log_check import Acknowledged, Logged
from imc_bench.http.senders import CALLERS, PATH
from imc_bench.installation import installation
from imc_bench.peers import centrifugo
from imc_bench.rows import Result, Scale

SHARE_OF_CENTRIFUGO = 0.85
PEER = "Centrifugo"


@dataclass(frozen=True)
class _Contender:
    """Servers that take sends, and how what they took is checked."""

    url: str
    pids: Mapping[str, int]
    """The processes whose CPU time counts."""
    requests: Callable[[str, int], Iterator[bytes]]
    """Returns the requests to an app, by the number of the sender."""
    check: Callable[[str, Calls], Awaitable[None]]
    """Compares the log of an app with the replies, and deletes it; raises `InvalidRun`."""


async def measure(scale: Scale) -> Result:
    """Measure IMC and Centrifugo in turn, each with all its servers on the server core."""
    missing: list[str] = []
    async with contextlib.AsyncExitStack() as stack:
        contenders: dict[str, rounds.Measure] = {}
        for name, contender in {"IMC": _imc(), PEER: _centrifugo()}.items():
            try:
                entered = await stack.enter_async_context(contender)
            except NotInstalled:
                missing.append(name)
            else:
                contenders[name] = partial(_run, entered, scale.seconds)
        found = await rounds.alternate(contenders, scale.rounds)
    return result(found, missing)


async def _run(contender: _Contender, seconds: float) -> Mapping[str, float]:
    app_id = senders.new_app()
    before = {part: cpu_seconds(pid) for part, pid in contender.pids.items()}
    calls = await callers.call(contender.url, CALLERS, seconds, partial(contender.requests, app_id))
    used = {part: cpu_seconds(pid) - before[part] for part, pid in contender.pids.items()}
    await contender.check(app_id, calls)
    each = {part: value / calls.count * 1e6 for part, value in used.items()}
    p99 = rounds.percentile(calls.all_latencies, 0.99) * 1000
    return {"CPU": sum(each.values()), **{f"CPU of {part}": cost for part, cost in each.items()}, "p99": p99}


@contextlib.asynccontextmanager
async def _imc() -> AsyncGenerator[_Contender]:
    async with (
        installation(push_nodes=0, all_on_server_core=True) as own,
        Redis.from_url(own.redis_url) as redis,  # pyright: ignore[reportUnknownMemberType]
    ):

        async def check(app_id: str, calls: Calls) -> None:
            log_check.check(senders.acknowledged_singles(calls), await senders.logged(redis, app_id))
            await senders.forget(redis, app_id)

        command_api = own.deployment.command_apis[0]
        pids = {"command-api": command_api.pid, "Redis": own.redis_pid}
        yield _Contender(
            command_api.url, pids, lambda app_id, sender: drafts.singles(app_id, PATH, sender), check
        )


@contextlib.asynccontextmanager
async def _centrifugo() -> AsyncGenerator[_Contender]:
    async with (
        centrifugo.centrifugo() as own,
        Redis.from_url(own.redis_url) as redis,  # pyright: ignore[reportUnknownMemberType]
    ):

        async def check(channel: str, calls: Calls) -> None:
            log, about = centrifugo.stream(channel)
            log_check.check(acknowledged(calls.replies), await _logged(redis, log))
            await redis.unlink(log, about)

        pids = {"Centrifugo": own.pid, "Redis": own.redis_pid}
        yield _Contender(f"http://127.0.0.1:{own.port}", pids, publications, check)


def publications(channel: str, sender: int) -> Iterator[bytes]:
    """Endless requests that publish the message of `drafts.singles` to a channel of Centrifugo."""
    body = {"channel": channel, "data": drafts.message(channel, sender, 0)}
    return drafts.numbered(callers.post(centrifugo.PUBLISH, orjson.dumps(body)))


def acknowledged(replies: Sequence[Sequence[bytes]]) -> list[list[Acknowledged]]:
    """What Centrifugo acknowledged, by sender, in order. Raises `InvalidRun` for a refusal."""
    return [
        [
            _acknowledged(centrifugo.offset(reply), drafts.content_of(sender, number))
            for number, reply in enumerate(own)
        ]
        for sender, own in enumerate(replies)
    ]


def _acknowledged(offset: int, content: str) -> Acknowledged:
    return Acknowledged(str(offset), f"{offset}-0", content)


async def _logged(redis: Any, key: str) -> list[Logged]:
    """The log of a channel. Its entries bear their offset as id, and the JSON within a Protobuf message."""
    found: list[Logged] = []
    async for entry, fields in log_check.entries(redis, key):
        data = fields[b"d"]
        view = orjson.loads(data[data.index(b"{") : data.rindex(b"}") + 1])
        found.append(Logged(entry.partition("-")[0], entry, view["content"]))
    return found


def result(found: Mapping[str, Mapping[str, list[float]]], missing: list[str]) -> Result:
    """The result of the row. It is not judged if the peer is missing."""
    figures = {
        f"{who}, {figure}": rounds.spread(values, "ms" if figure == "p99" else "µs/send")
        for who, each in found.items()
        for figure, values in each.items()
    }
    ratio = None if missing else figures["IMC, CPU"].median / figures[f"{PEER}, CPU"].median
    shown = [f"{who}, {figure}" for figure in ("CPU", "p99") for who in found]
    return Result(
        row="3",
        name=f"sends over HTTP, one message each, {CALLERS} connections, all servers on one core",
        figures={name: figures[name] for name in dict.fromkeys((*shown, *figures))},
        goal=f"CPU of all servers ≤ {SHARE_OF_CENTRIFUGO:g} × {PEER}",
        ratio=ratio,
        met=None if ratio is None else ratio <= SHARE_OF_CENTRIFUGO,
        checks=["each send acknowledged, in the log once, whole, in each sender's order, in each round"],
        missing=missing,
        shown=len(shown),
    )
