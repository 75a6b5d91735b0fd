"""Which shards this projector owns. Projectors share them evenly, and take over those of one that is gone.

A projector is there as long as it prolongs its lease. A shard keeps its owner until another one takes it
over, also while nobody can prolong a lease: then the owners go on.
"""

import asyncio
import math
import random
from collections.abc import Collection, Iterable, Sequence
from typing import cast

from imc_contracts import names
from imc_service.logs import get_logger
from imc_service.redis.masters import Argument, Masters
from redis.exceptions import RedisError

from imc_command_api.projector.routing import by_any_of

logger = get_logger("projector.ownership")

LEASE_MS = 3000
"""How long after its last sign of life a projector's shards stay its own."""

RENEW_SECONDS = 1.0

_MOVING = "?"
"""In the place of the owner of a shard that is moving to another master."""

_PACKAGE = "imc_command_api.projector"


class Ownership:
    """The shards of one projector, whose name is unique among all processes and times."""

    def __init__(self, masters: Masters, projector: str, *, is_alone: bool) -> None:
        """``is_alone``: no other can be there, so that all shards may be taken over at once."""
        self._masters = masters
        self._projector = projector
        self._is_alone = is_alone
        self._enroll = masters.script(_PACKAGE, "enroll.lua")
        self._owners = masters.script(_PACKAGE, "owners.lua")
        self._hand_over = masters.script(_PACKAGE, "hand_over.lua")
        self.shards: frozenset[int] = frozenset()

    async def renew(self) -> bool:
        """Prolong the lease, and bring the number of own shards to a fair share; False if that goes on.

        Raises what redis-py raises. What another master than the one that failed has is done all the same.
        """
        arguments: list[Argument] = [self._projector, LEASE_MS, int(self._is_alone)]
        there = {member.decode() for member in await self._enroll([names.PROJECTORS], arguments)}
        owners, fault = await self._find_owners()
        own = [shard for shard, owner in owners.items() if owner == self._projector]
        # Those whose owner can't be asked for are taken to be as they were.
        moving = {shard for shard, owner in owners.items() if owner == _MOVING}
        own += self.shards & moving | self.shards - owners.keys()
        share = math.ceil(names.SHARDS / len(there))
        # Not in their order: several projectors that begin together would all want the same.
        surplus = random.sample(own, max(0, len(own) - share))
        free = [shard for shard, owner in owners.items() if owner not in there and owner != _MOVING]
        wanted = random.sample(free, min(len(free), max(0, share - len(own))))
        released = await self._set(surplus, owners, "")
        taken = await self._set(wanted, owners, self._projector)
        before, self.shards = self.shards, frozenset(own) - released | taken
        if before != self.shards:
            logger.info("shards owned", shards=len(self.shards), projectors=len(there))
        if fault is not None:
            raise fault
        return not surplus and len(taken) == len(wanted)

    async def release(self) -> None:
        """Give up all shards, and the lease; raises what redis-py raises."""
        own, self.shards = self.shards, frozenset()
        await self._set(own, dict.fromkeys(own, self._projector), "")
        await self._masters.run(names.PROJECTORS, lambda redis: redis.zrem(names.PROJECTORS, self._projector))

    async def _find_owners(self) -> tuple[dict[int, str], BaseException | None]:
        """The owner of each shard, "" for none, as far as the masters answer; and why one does not."""
        await self._masters.look_for_masters()
        shards = {names.owner(shard): shard for shard in range(names.SHARDS)}
        parts = [keys for _, keys in self._masters.by_master(shards)]
        replies = await asyncio.gather(
            *(self._owners(by_any_of(keys), keys) for keys in parts), return_exceptions=True
        )
        owners: dict[int, str] = {}
        fault: BaseException | None = None
        for keys, reply in zip(parts, replies, strict=True):
            if isinstance(reply, RedisError | OSError):
                fault = reply
            elif isinstance(reply, BaseException):
                raise reply
            else:
                found = cast("list[bytes]", reply)
                owners.update((shards[key], owner.decode()) for key, owner in zip(keys, found, strict=True))
        return owners, fault

    async def _set(self, chosen: Collection[int], before: dict[int, str], after: str) -> frozenset[int]:
        """Give ``chosen`` shards another owner, unless that changed meanwhile; returns those that got it."""
        shards = {names.owner(shard): shard for shard in chosen if shard in before}
        done: set[int] = set()
        for _, keys in self._masters.by_master(shards):
            arguments = [text for key in keys for text in (key, before[shards[key]], after)]
            done.update(
                _those(map(shards.__getitem__, keys), await self._hand_over(by_any_of(keys), arguments))
            )
        return frozenset(done)


def _those(shards: Iterable[int], handed_over: Sequence[int]) -> list[int]:
    return [shard for shard, done in zip(shards, handed_over, strict=True) if done == 1]
