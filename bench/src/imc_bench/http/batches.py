"""Row 4: batches sent over HTTP and by gateways, compared with Redis alone running the same scripts."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import uvloop
from imc_contracts import names
from redis.asyncio import Redis

from imc_bench import cores
from imc_bench.cpu import cpu_seconds
from imc_bench.http import callers, drafts, gateways, log_check, redis_alone, senders
from imc_bench.installation import Installation, installation
from imc_bench.push.load import room, saturate
from imc_bench.push.relay import Relay
from imc_bench.rounds import alternate, spread
from imc_bench.rows import Result, Scale, Spread

SIZE = 100
CALLERS = 8
SHARE_OF_REDIS = 0.7
_PROCESSES = ("Redis", "command-api", "push-node")


def measure(scale: Scale) -> list[Result]:
    """Measure messages per second of each way to send, and of Redis replaying the same scripts, in turn."""
    return uvloop.run(_measure(scale))


async def _measure(scale: Scale) -> list[Result]:
    async with contextlib.AsyncExitStack() as stack:
        installed = await stack.enter_async_context(installation())
        redis: Any = await stack.enter_async_context(Redis.from_url(installed.redis_url))  # pyright: ignore
        recorded_app = senders.new_app()
        commands = await redis_alone.record(installed.redis_url, recorded_app, scale.of(200, 1000), SIZE)
        ways = _Ways(installed, redis, scale.seconds)
        frames = await gateways.gateways(installed, as_lists=False)
        lists = await gateways.gateways(installed, as_lists=True)
        found = await alternate(
            {
                "Redis": lambda: redis_alone.play(redis, installed.redis_pid, recorded_app, commands, SIZE),
                "HTTP": ways.http,
                "frames": lambda: ways.gateways(frames),
                "lists": lambda: ways.gateways(lists),
            },
            scale.rounds,
        )
    return _results(found, ways.checks)


class _Ways:
    """The ways to send, each measured at saturation, and checked against the log and the pushes."""

    def __init__(self, installed: Installation, redis: Any, seconds: float) -> None:
        self._redis = redis
        self._seconds = seconds
        self._command_api = installed.deployment.command_apis[0]
        self._pids = {
            "Redis": installed.redis_pid,
            "command-api": self._command_api.pid,
            "push-node": installed.deployment.push_nodes[0].pid,
        }
        self._sent = {"over HTTP": 0, "by gateways": 0}

    @property
    def checks(self) -> list[str]:
        """What was verified."""
        return [
            f"{self._sent['over HTTP']:,} messages over HTTP: acknowledged, in the log once, whole, in order",
            f"{self._sent['by gateways']:,} messages by gateways: in the log and pushed, once each, in order",
        ]

    async def http(self) -> Mapping[str, float]:
        app_id = senders.new_app()
        cores.pin(self._command_api.pid, cores.choose().server)
        used = self._used()
        calls = await callers.call(
            self._command_api.url,
            CALLERS,
            self._seconds,
            lambda sender: drafts.batches(app_id, senders.BATCH_PATH, sender, SIZE),
        )
        figures = self._figures(calls.count * SIZE, calls.seconds, used)
        cores.pin(self._command_api.pid, cores.choose().load)
        log_check.check(senders.acknowledged_batches(calls), await senders.logged(self._redis, app_id))
        self._sent["over HTTP"] += calls.count * SIZE
        await senders.forget(self._redis, app_id)
        return figures

    async def gateways(self, relay: Relay) -> Mapping[str, float]:
        app_id = senders.new_app()
        async with room(relay, 1, app_id=app_id) as opened:
            used = self._used()
            # The listener checks that each message arrives once, in the order of its sender.
            pushed = await saturate(opened, self._seconds, SIZE)
            messages = await self._redis.xlen(names.log(app_id))
            figures = self._figures(messages, messages / pushed["messages per second"], used)
        self._sent["by gateways"] += messages
        await senders.forget(self._redis, app_id)
        return figures

    def _used(self) -> dict[str, float]:
        return {name: cpu_seconds(pid) for name, pid in self._pids.items()}

    def _figures(self, messages: int, seconds: float, before: Mapping[str, float]) -> dict[str, float]:
        spent = {name: used - before[name] for name, used in self._used().items()}
        each = {name: used / messages * 1e6 for name, used in spent.items()}
        return {"messages/s": messages / seconds, "a core each": 1e6 / max(each.values()), **each}


def _results(found: Mapping[str, Mapping[str, list[float]]], checks: list[str]) -> list[Result]:
    return [
        _result(f"sends over HTTP in batches of {SIZE}", "HTTP", found, _PROCESSES[:2], checks[:1]),
        _result("sends from gateways, a frame each", "frames", found, _PROCESSES, checks[1:]),
        _result(f"sends from gateways, lists of {SIZE}", "lists", found, _PROCESSES, checks[1:]),
    ]


def _result(
    name: str,
    way: str,
    found: Mapping[str, Mapping[str, list[float]]],
    processes: Sequence[str],
    checks: list[str],
) -> Result:
    """Rates assume one core per process: on a machine with few cores the processes share them."""
    own, alone = found[way], found["Redis"]
    figures: dict[str, Spread] = {
        "a core for each process": spread(own["a core each"], "messages/s"),
        "a core for Redis alone": spread(alone["a core each"], "messages/s"),
        "all on these cores": spread(own["messages/s"], "messages/s"),
        "Redis alone, on these cores": spread(alone["messages/s"], "messages/s"),
        "Redis alone, CPU": spread(alone["Redis"], "µs/message"),
    }
    figures |= {f"{process}, CPU": spread(own[process], "µs/message") for process in processes}
    ratio = figures["a core for each process"].median / figures["a core for Redis alone"].median
    goal = f"≥ {SHARE_OF_REDIS:g} × Redis alone"
    return Result("4", name, figures, goal, ratio, ratio >= SHARE_OF_REDIS, checks, shown=2)
