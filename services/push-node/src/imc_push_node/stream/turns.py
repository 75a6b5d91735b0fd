"""Turns at a master: so much is asked of it at once, and a master that hangs holds no turns of others."""

import asyncio
from weakref import WeakKeyDictionary

from redis.asyncio import Redis


class Turns:
    """At most ``at_once`` turns at each master at the same time."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._by_master: WeakKeyDictionary[Redis, asyncio.Semaphore] = WeakKeyDictionary()

    def at(self, redis: Redis) -> asyncio.Semaphore:
        """Hold it for the time of a turn at the master that ``redis`` is a client of."""
        turns = self._by_master.get(redis)
        if turns is None:
            turns = self._by_master[redis] = asyncio.Semaphore(self._at_once)
        return turns
