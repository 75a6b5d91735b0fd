"""Row ``java``: sends and pushes on the Java door beside v1, of the same messages, in turn."""

import contextlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import orjson
import uvloop
from redis.asyncio import Redis

from imc_bench import cores
from imc_bench.cpu import cpu_seconds
from imc_bench.http import callers, drafts, senders
from imc_bench.installation import Installation, installation
from imc_bench.push import load
from imc_bench.push.fan_out import DELIVERED, FIGURE, GATEWAYS
from imc_bench.push.imc_relay import imc
from imc_bench.push.relay import Relay
from imc_bench.rounds import Measure, alternate, spread
from imc_bench.rows import InvalidRun, Result, Scale

CONTENT = 200
_SENT = "every acknowledged send is in the log once"


@dataclass(frozen=True)
class Door:
    """The paths of one door."""

    name: str
    send_path: str
    gateway_path: str
    """With the places ``app`` and ``number``."""

    def listen_path(self, app_id: str, number: int) -> str:
        """The path that a gateway connects to."""
        return self.gateway_path.format(app=app_id, number=number)


DOORS = (
    Door("v1", senders.PATH, "/v1/gateways/{app}/gateway-{number}"),
    Door("Java door", "/chat/message/create", "/chat/message/broadcast/{app}/gateway-{number}"),
)


def measure(scale: Scale) -> list[Result]:
    """Measure sends per CPU-second of command-api, and deliveries per CPU-second of the push-node."""
    return uvloop.run(_measure(scale))


async def _measure(scale: Scale) -> list[Result]:
    async with installation() as own, Redis.from_url(own.redis_url) as redis:  # pyright: ignore
        relays = {door.name: await _relay(own, door) for door in DOORS}
        async with contextlib.AsyncExitStack() as stack:
            together: dict[str, Measure] = {}
            alone: dict[str, Measure] = {}
            for name, relay in relays.items():
                room = await stack.enter_async_context(load.room(relay, GATEWAYS, CONTENT + relay.overhead))
                together[name] = partial(load.saturate, room, scale.seconds)
                alone[name] = partial(load.one_by_one, room, scale.seconds)
            pushes = await alternate(together, scale.rounds)
            singles = await alternate(alone, scale.rounds)
        sending: dict[str, Measure] = {
            door.name: partial(_send, own, redis, door, scale.seconds) for door in DOORS
        }
        accepted = await alternate(sending, scale.rounds)
    return [
        _result(f"pushes to {GATEWAYS} gateways", FIGURE, "deliveries/CPU-s", pushes, DELIVERED),
        _result("pushes one at a time", FIGURE, "deliveries/CPU-s", singles, DELIVERED),
        _result("sends over HTTP", "a core", "sends/s", accepted, _SENT),
    ]


async def _relay(own: Installation, door: Door) -> Relay:
    """IMC with gateways at a door. Messages are sent by v1, so that only the pushes differ."""
    relay = replace(await imc(own), listen_path=door.listen_path, overhead=0)
    async with load.room(relay, 1, CONTENT, senders=1) as probe:
        await probe.senders[0].send(1)
        await probe.audience.delivered(1)
        return replace(relay, overhead=len(probe.audience.stream.frames) - CONTENT)


async def _send(own: Installation, redis: Any, door: Door, seconds: float) -> Mapping[str, float]:
    """Send over HTTP for a while, with command-api on a core of its own."""
    command_api, app_id = own.deployment.command_apis[0], senders.new_app()
    cores.pin(command_api.pid, cores.choose().server)
    used = cpu_seconds(command_api.pid)
    calls = await callers.call(
        command_api.url,
        senders.CALLERS,
        seconds,
        lambda sender: drafts.singles(app_id, door.send_path, sender),
    )
    used = cpu_seconds(command_api.pid) - used
    cores.pin(command_api.pid, cores.choose().load)
    acknowledged = Counter(_message_id(reply) for replies in calls.replies for reply in replies)
    logged = Counter(each.message_id for each in await senders.logged(redis, app_id))
    if acknowledged != logged or max(logged.values()) > 1:
        raise InvalidRun(f"{acknowledged.total()} sends were acknowledged, {logged.total()} are in the log")
    await senders.forget(redis, app_id)
    return {"a core": calls.count / used}


def _message_id(reply: bytes) -> str:
    """The id in a reply: the data itself on the Java door, a field of it on v1."""
    data = orjson.loads(reply)["data"]
    return data if isinstance(data, str) else data["messageId"]


def _result(
    what: str, figure: str, unit: str, found: Mapping[str, Mapping[str, list[float]]], check: str
) -> Result:
    figures = {name: spread(each[figure], unit) for name, each in found.items()}
    v1, java = (found[door.name][figure] for door in DOORS)
    ratios = [own / other for own, other in zip(java, v1, strict=True)]
    figures["Java door / v1, round by round"] = spread(ratios, "")
    return Result("java", f"{what}, Java door beside v1", figures, checks=[check])
