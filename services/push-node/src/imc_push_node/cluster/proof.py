"""Proves that Redis does what this node needs: by commands without effect, and a word that comes back."""

import asyncio
import itertools
import secrets
from typing import Any, cast

from imc_contracts import names
from imc_service.redis.masters import Masters
from redis.asyncio import Redis
from redis.exceptions import RedisError

from imc_push_node.cluster.takeover import FENCE
from imc_push_node.pubsub.master_subscriber import DEADLINE_SECONDS
from imc_push_node.pubsub.subscriber import Subscriber
from imc_push_node.stream import changes, log_state

_NOT_NEW = "ID specified in XADD is equal or smaller"
"""What Redis says of the first id of all, in a stream that has any other."""

UNHEARD_SECONDS = 1.5
"""A word that is not heard for longer is lost: the node connects anew.

Less than the time between two proofs, so that the next proof does it.
"""

FORGET_SECONDS = 10.0
"""When a word is given up whose shard stands for no master any more."""


class _Silent:
    """A channel that is subscribed to only to prove that this is permitted."""

    def on_subscribed(self) -> None: ...

    def on_message(self, payload: bytes) -> None: ...


class _Word:
    """What the node says to itself on the master of ``shard``."""

    def __init__(self, shard: int, database: int) -> None:
        # Its own, so that nodes do not hear each other.
        token = secrets.token_hex(6)
        own = next(
            name
            for number in itertools.count()
            if names.shard_of(name := f"{names.no_app(shard)}-{token}-{number}") == shard
        )
        self.channel, self.other_channel = names.gateway_news(own, database), names.live(own, database)
        self.said = self.heard = 0
        self.is_said = False
        """Whether the last try to say it succeeded."""
        self.asked_at = 0.0
        self.unheard_since: float | None = None

    @property
    def silence(self) -> float:
        """For how many seconds it has said something that is not heard."""
        return 0.0 if self.unheard_since is None else _now() - self.unheard_since

    def on_subscribed(self) -> None:
        """The node hears what it publishes from here on. What it published before is lost."""
        self.unheard_since = None

    def on_message(self, payload: bytes) -> None:
        """The node hears itself."""
        self.heard = int(payload)
        self.unheard_since = None


class NodeProof:
    """A node must hear what it publishes. If not, its connections to a master lead to different servers."""

    def __init__(self, masters: Masters, subscriber: Subscriber) -> None:
        self._masters = masters
        self._subscriber = subscriber
        self._words: dict[int, _Word] = {}
        """By shard; one shard of each master."""

    async def of_shards(self) -> str | None:
        """A readiness check: why the apps are not where this version looks for them, or None."""
        key = names.SHARD_COUNT
        try:
            count = await self._masters.run(key, _shard_count)
        except (RedisError, OSError):
            return None  # told by the check of Redis
        if count is None or count == b"%d" % names.SHARDS:
            return None
        return (
            f"the data in Redis has {count.decode(errors='backslashreplace')} shards and this version "
            f"{names.SHARDS}: use the version that made it, or another Redis (see {key})"
        )

    async def of_commands(self, shard: int) -> None:
        """Prove that the node may run its commands on the master of ``shard``, and has room for its writes.

        Raises what redis-py raises.
        """
        word = self._speak_in(shard)
        word.is_said = False
        number, app_id = word.said + 1, names.no_app(shard)
        await self._masters.run(
            names.gateways(app_id), lambda redis: _prove_app(redis, app_id, word.channel, str(number))
        )
        for key, prove in (
            (names.PUSH_NODES, _prove_membership),
            (names.SHARD_COUNT, _shard_count),
            (names.PROCESSES, _prove_presence),
            (names.all_activity(0), _prove_activity),
        ):
            if len(self._masters.by_master([key, names.gateways(app_id)])) == 1:
                await self._masters.run(key, prove)
        word.said, word.is_said = max(word.said, number), True
        if word.heard < number and word.unheard_since is None:
            word.unheard_since = _now()
        elif word.silence > UNHEARD_SECONDS:
            self._subscriber.reconnect(shard)

    async def of_pushes(self) -> str | None:
        """A readiness check: why the node would not hear what is published, or None.

        Of masters that do not do the work at all, `of_commands` tells.
        """
        if not self._words:
            return "no Pub/Sub connection"
        said = (shard for shard, word in self._words.items() if word.is_said)
        return next(filter(None, map(self._why_unheard, said)), None)

    def _why_unheard(self, shard: int) -> str | None:
        fault = self._subscriber.fault(shard)
        if fault is None and self._words[shard].silence > DEADLINE_SECONDS:
            fault = f"what is published in Redis at {self._subscriber.address(shard)} is not heard"
        return fault

    def _speak_in(self, shard: int) -> _Word:
        """Have a word in a shard, and none in those that are not asked for any more."""
        word = self._words.get(shard)
        if word is None:
            word = self._words[shard] = _Word(shard, self._subscriber.database)
            self._subscriber.subscribe(shard, word.channel, word)
            self._subscriber.subscribe(shard, word.other_channel, _Silent())
        word.asked_at = _now()
        for other, past in list(self._words.items()):
            if word.asked_at - past.asked_at > FORGET_SECONDS:
                del self._words[other]
                self._subscriber.unsubscribe(other, past.channel)
                self._subscriber.unsubscribe(other, past.other_channel)
        return word


async def _shard_count(redis: Redis) -> bytes | None:
    return cast("bytes | None", await redis.get(names.SHARD_COUNT))  # pyright: ignore


async def _prove_membership(redis: Redis) -> None:
    async with redis.pipeline(transaction=True) as pipe:
        run = cast(Any, pipe).execute_command
        run("TIME")
        run("ZADD", names.PUSH_NODES, "XX", 0, FENCE)
        run("ZREMRANGEBYSCORE", names.PUSH_NODES, 0, 0)
        run("ZRANGE", names.PUSH_NODES, 0, 0)
        run("ZREM", names.PUSH_NODES, FENCE)
        await pipe.execute()


async def _prove_presence(redis: Redis) -> None:
    async with redis.pipeline(transaction=True) as pipe:
        run = cast(Any, pipe).execute_command
        run("ZADD", names.PROCESSES, "XX", 0, FENCE)
        run("ZREMRANGEBYSCORE", names.PROCESSES, 0, 0)
        run("ZREVRANGEBYSCORE", names.PROCESSES, 0, 0)
        run("ZREM", names.PROCESSES, FENCE)
        await pipe.execute()


async def _prove_activity(redis: Redis) -> None:
    key = names.all_activity(0)
    async with redis.pipeline(transaction=True) as pipe:
        cast(Any, pipe).execute_command("HINCRBY", key, "proof", 0)
        cast(Any, pipe).execute_command("PEXPIRE", key, 1)
        await pipe.execute()


def _of_roster(shard: int) -> list[tuple[str | int, ...]]:
    """The commands of the roster and of the activity of apps, without effect or soon undone."""
    roster, rows = names.roster(shard), names.roster_rows(shard)
    behind, closed, closes = names.behind(shard), names.closed(shard, 0), names.closes(shard, 0)
    answers, activity = names.disconnected(shard, "0"), names.activity(shard, 0)
    return [
        ("ZADD", roster, "XX", 0, FENCE),
        ("ZRANGE", roster, 0, 0),
        ("ZRANGEBYLEX", roster, "-", "+", "LIMIT", 0, 1),
        ("ZREM", roster, FENCE),
        ("HSET", rows, FENCE, 1),
        ("HMGET", rows, FENCE),
        ("HDEL", rows, FENCE),
        ("ZADD", behind, "XX", 0, FENCE),
        ("ZRANGEBYLEX", behind, "-", "+", "LIMIT", 0, 1),
        ("ZREM", behind, FENCE),
        ("ZADD", closed, "XX", 0, FENCE),
        ("ZRANGEBYLEX", closed, "-", "+", "LIMIT", 0, 1),
        ("ZREM", closed, FENCE),
        ("PEXPIRE", closed, 1),
        ("HSET", closes, FENCE, 1),
        ("HMGET", closes, FENCE),
        ("PEXPIRE", closes, 1),
        ("ZADD", answers, "XX", 0, FENCE),
        ("ZRANGEBYSCORE", answers, 0, 0),
        ("PEXPIRE", answers, 1),
        ("HINCRBY", activity, "proof", 0),
        ("PEXPIRE", activity, 1),
    ]


async def _prove_app(redis: Redis, app_id: str, channel: str, word: str) -> None:
    gateways, slots = names.gateways(app_id), names.gateway_slots(app_id)
    fence, state = names.gateway_fence(app_id), names.log_state(app_id)
    stream = names.changes(names.shard_of(app_id))
    # These commands find nothing to do, or are undone within the transaction.
    async with redis.pipeline(transaction=True) as pipe:
        run = cast(Any, pipe).execute_command
        run("TIME")
        run("XRANGE", names.log(app_id), "-", "+", "COUNT", 1)
        run("XRANGE", stream, "-", "+", "COUNT", 1)
        run("XREVRANGE", stream, "+", "-", "COUNT", 1)
        run("XADD", stream, "NOMKSTREAM", "0-1", changes.GATEWAYS, app_id)
        run("ZRANGEBYSCORE", names.recalled(app_id), 0, 0)
        run("HSETNX", state, "proof", 1)
        run("HMGET", state, *log_state.FIELDS)
        for key in (gateways, slots, fence):
            run("ZADD", key, "XX", 0, FENCE)
        run("ZREMRANGEBYSCORE", gateways, 0, 0)
        run("ZMSCORE", gateways, FENCE)
        run("ZINCRBY", fence, 1, FENCE)
        run("ZREM", fence, FENCE)
        run("ZREM", slots, FENCE)
        run("ZCARD", slots)
        run("PEXPIRE", slots, 1)
        for command in _of_roster(names.shard_of(app_id)):
            run(*command)
        run("SPUBLISH", channel, word)
        for reply in await pipe.execute(raise_on_error=False):
            if isinstance(reply, Exception) and _NOT_NEW not in str(reply):
                raise reply


def _now() -> float:
    return asyncio.get_running_loop().time()
