"""Proves that Redis does what this node needs: by commands without effect, and a word that comes back."""

import asyncio
import secrets
from typing import Any, cast

from imc_contracts import names
from imc_service.redis.client import database_of
from redis.asyncio import Redis

from imc_push_node.pubsub.subscriber import DEADLINE_SECONDS, Subscriber
from imc_push_node.stream import log_state
from imc_push_node.stream.poll import FENCE


class _Silent:
    """A channel that is subscribed to only to prove that this is permitted."""

    def on_subscribed(self) -> None: ...

    def on_message(self, payload: bytes) -> None: ...


class NodeProof:
    """A node must hear what it publishes, or else its connections lead to different servers."""

    def __init__(self, redis: Redis, subscriber: Subscriber) -> None:
        self._redis = redis
        self._subscriber = subscriber
        # Its own, so that nodes do not hear each other.
        own, database = names.NO_APP + secrets.token_hex(6), database_of(redis)
        self._channel = names.gateway_news(own, database)
        self._said = self._heard = 0
        self._unheard_since: float | None = None
        subscriber.subscribe(self._channel, self)
        subscriber.subscribe(names.live(own, database), _Silent())

    async def of_commands(self) -> None:
        """Prove that the node may run its commands, and that there is room for what it writes.

        Raises what redis-py raises.
        """
        number = self._said + 1
        await self._run(str(number))
        self._said = number
        if self._heard < number and self._unheard_since is None:
            self._unheard_since = _now()
        elif self._silence > DEADLINE_SECONDS:
            self._subscriber.reconnect()

    async def of_pushes(self) -> str | None:
        """A readiness check: why the node would not hear what is published, or None."""
        fault = await self._subscriber.alive()
        if fault is None and self._silence > DEADLINE_SECONDS:
            fault = "what is published in Redis is not heard"
        return fault

    def on_subscribed(self) -> None:
        """The node hears what it publishes from here on. What it published before is lost."""
        self._unheard_since = None

    def on_message(self, payload: bytes) -> None:
        """The node hears itself."""
        self._heard = int(payload)
        self._unheard_since = None

    async def _run(self, word: str) -> None:
        app_id = names.NO_APP
        gateways, slots = names.gateways(app_id), names.gateway_slots(app_id)
        fence, state = names.gateway_fence(app_id), names.log_state(app_id)
        # These commands find nothing to do, or are undone within the transaction.
        async with self._redis.pipeline(transaction=True) as pipe:
            run = cast(Any, pipe).execute_command
            run("TIME")
            run("XRANGE", names.log(app_id), "-", "+", "COUNT", 1)
            run("ZRANGEBYSCORE", names.recalled(app_id), 0, 0)
            run("HSETNX", state, "proof", 1)
            run("HMGET", state, *log_state.FIELDS)
            for key in (gateways, slots, fence, names.PUSH_NODES):
                run("ZADD", key, "XX", 0, FENCE)
            run("ZREMRANGEBYSCORE", gateways, 0, 0)
            run("ZMSCORE", gateways, FENCE)
            run("ZINCRBY", fence, 1, FENCE)
            run("ZSCORE", fence, FENCE)
            run("ZREM", fence, FENCE)
            run("ZREM", slots, FENCE)
            run("ZCARD", slots)
            run("PEXPIRE", slots, 1)
            run("ZREMRANGEBYSCORE", names.PUSH_NODES, 0, 0)
            run("ZRANGE", names.PUSH_NODES, 0, 0)
            run("ZREM", names.PUSH_NODES, FENCE)
            run("PUBLISH", self._channel, word)
            await pipe.execute()

    @property
    def _silence(self) -> float:
        return 0.0 if self._unheard_since is None else _now() - self._unheard_since


def _now() -> float:
    return asyncio.get_running_loop().time()
