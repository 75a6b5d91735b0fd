"""Where an app goes: its shard by its id, the shard's master by the slot of its hash tag, its projector."""

import binascii
import bisect
import math
from collections.abc import Sequence

from imc_contracts.names import SHARDS, shard_of

__all__ = ["SHARDS", "SLOTS", "by_load", "by_slots", "evenly", "shard_of", "slot_of"]

SLOTS = 16_384
"""Slots of a Redis Cluster."""


def slot_of(shard: int) -> int:
    """The slot of the keys of a shard, which have its number as hash tag: ``imc:{17}:…``.

    Redis' CRC16 is that of XMODEM: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
    """
    return binascii.crc_hqx(str(shard).encode(), 0) % SLOTS


def by_slots(masters: int) -> list[int]:
    """The master of each shard, as ``redis-cli --cluster create`` gives each master a range of slots."""
    last_slots = [math.floor((master + 1) * SLOTS / masters - 0.5) for master in range(masters)]
    return [bisect.bisect_left(last_slots, slot_of(shard)) for shard in range(SHARDS)]


def evenly(engines: int) -> list[int]:
    """The engine of each shard, if each has as many as the others: as projectors take theirs."""
    return [shard % engines for shard in range(SHARDS)]


def by_load(loads: Sequence[float], engines: int) -> list[int]:
    """The engine of each shard, if slots are moved: the heaviest first, to the engine with the least."""
    carried, owners = [0.0] * engines, [0] * len(loads)
    for shard in sorted(range(len(loads)), key=lambda shard: -loads[shard]):
        owner = min(range(engines), key=carried.__getitem__)
        carried[owner] += loads[shard]
        owners[shard] = owner
    return owners
