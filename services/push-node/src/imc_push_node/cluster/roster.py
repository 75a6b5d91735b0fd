"""Keeps the rows of this node's gateways in the roster.

A row is written when something has changed, at most every `FLUSH_SECONDS`, so that idle gateways cost
nothing. Gateways that are behind are looked at each time, since the log goes on without them. Beside that a
tour of the shards finds rows that Redis has lost, and rows that a node left behind which died.
"""

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from imc_contracts import names
from imc_contracts.roster import Member, read_member
from imc_service import presence, ticks
from imc_service.logs import get_logger
from imc_service.redis.masters import Argument, Masters
from redis.exceptions import RedisError

from imc_push_node.cluster.roster_rows import close_of, row_of
from imc_push_node.gateway.changed_gateways import ChangedGateways
from imc_push_node.gateway.gateway import Gateway, State, Transport
from imc_push_node.stream.delivery import REPLAYS
from imc_push_node.stream.hub import Hub

logger = get_logger("roster")

FLUSH_SECONDS = 2.0
AT_ONCE = 500
"""Rows of one round trip. Between two of them other work has its turn."""

MOST_A_FLUSH = 2000
"""The most rows of one flush. The others follow with the next."""

TOUR_SECONDS = 60.0
"""How long it takes to look at all shards."""

MOST_CLOSES = 10_000
"""The most closes of a shard that are kept of an hour."""

HOUR_SECONDS = 3600
_KEEP_CLOSES_MS = 2 * HOUR_SECONDS * 1000

_Command = tuple[str, Sequence[Argument]]


@dataclass(slots=True)
class _Writes:
    """What is to be written of one shard."""

    rows: dict[Gateway, tuple[bytes, bytes]] = field(default_factory=dict[Gateway, tuple[bytes, bytes]])
    behind: set[Gateway] = field(default_factory=set[Gateway])
    """Those of the rows that are behind."""
    caught_up: set[Gateway] = field(default_factory=set[Gateway])
    """Those of the rows that were behind."""
    gone: list[Gateway] = field(default_factory=list[Gateway])


class Roster:
    """The rows of one node. `run` must be running."""

    def __init__(
        self, masters: Masters, hub: Hub, changed: ChangedGateways, process: str, address: str
    ) -> None:
        """``process`` and ``address`` are those with which this process is announced."""
        self._masters = masters
        self._hub = hub
        self._changed = changed
        self._process = process
        self._address = address
        self._numbers = itertools.count(1)
        self._written: dict[Gateway, tuple[bytes, bytes]] = {}
        """The member and the row of each gateway, as they were written last."""
        self._behind = set[Gateway]()
        """Those that Redis may have as behind."""
        self._by_shard: defaultdict[int, dict[bytes, Gateway]] = defaultdict(dict)
        self._tour = itertools.cycle(range(names.SHARDS))
        self._closes: dict[str, int] = {}
        """How many closes each hash of this hour has, as far as is known."""

    async def run(self) -> None:
        """Write rows until cancelled."""
        while True:
            await asyncio.sleep(ticks.pause(FLUSH_SECONDS))
            await self.flush()
            shards = -(-names.SHARDS * FLUSH_SECONDS // TOUR_SECONDS)
            await self.look_at(list(itertools.islice(self._tour, int(min(shards, names.SHARDS)))))

    async def flush(self) -> None:
        """Write the rows of gateways that have changed."""
        behind: list[Gateway] = []
        for _ in range(MOST_A_FLUSH // AT_ONCE):
            gateways = self._changed.take(AT_ONCE)
            if not gateways:
                break
            behind += [gateway for gateway in gateways if gateway.state in REPLAYS]
            await self._write(gateways)
        for gateway in behind:
            self._changed.note(gateway)

    async def look_at(self, shards: Sequence[int]) -> None:
        """Compare the roster of ``shards`` with this node: write what it lacks, remove what nobody keeps."""
        keys = [names.roster(shard) for shard in shards]
        replies = await self._masters.each([(key, ("ZRANGE", key, 0, -1)) for key in keys])
        stale: dict[int, list[bytes]] = {}
        running: dict[str, str] | None = None
        for shard, reply in zip(shards, replies, strict=True):
            if isinstance(reply, Exception):
                continue
            members = set[bytes](reply)
            own = self._by_shard.get(shard, {})
            for lost in own.keys() - members:
                self._rewrite(own[lost])
            if others := members - own.keys():
                try:
                    running = await presence.running(self._masters) if running is None else running
                except (RedisError, OSError):
                    return
                stale[shard] = [each for each in others if not self._is_kept(each, running)]
        await self._masters.each(
            [command for shard, members in stale.items() if members for command in _removal(shard, members)]
        )

    def _is_kept(self, encoded: bytes, running: dict[str, str]) -> bool:
        member = read_member(encoded)
        # What was written by this process itself and is not its own any more was meant to be removed.
        return member is not None and member.process != self._process and member.process in running

    def _rewrite(self, gateway: Gateway) -> None:
        member, _ = self._written[gateway]
        self._written[gateway] = member, b""
        self._changed.note(gateway)

    async def _write(self, gateways: Sequence[Gateway]) -> None:
        by_shard: defaultdict[int, _Writes] = defaultdict(_Writes)
        for gateway in gateways:
            writes = by_shard[names.shard_of(gateway.app_id)]
            if gateway.state is State.LEFT:
                writes.gone.append(gateway)
                continue
            row = row_of(gateway, self._hub.app(gateway.app_id))
            member, before = self._written.get(gateway) or (self._member(gateway), None)
            if row != before:
                writes.rows[gateway] = member, row
                if gateway.state in REPLAYS:
                    writes.behind.add(gateway)
                    self._behind.add(gateway)
                elif gateway in self._behind:
                    writes.caught_up.add(gateway)
        commands = {shard: self._commands(shard, writes) for shard, writes in by_shard.items()}
        replies = iter(await self._masters.each([each for some in commands.values() for each in some]))
        for shard, some in commands.items():
            of_shard = list(itertools.islice(replies, len(some)))
            faults = [reply for reply in of_shard if isinstance(reply, Exception)]
            if faults:
                logger.debug("rows are not written", fault=type(faults[0]).__name__)
            self._note(shard, by_shard[shard], is_done=not faults)

    def _member(self, gateway: Gateway) -> bytes:
        return Member(gateway.app_id, gateway.gateway_id, self._process, next(self._numbers)).encode()

    def _note(self, shard: int, writes: _Writes, *, is_done: bool) -> None:
        """Remember what was written. What was not, perhaps, is written again."""
        for gateway, (member, row) in writes.rows.items():
            self._written[gateway] = member, row if is_done else b""
            self._by_shard[shard][member] = gateway
        if not is_done:
            for gateway in (*writes.rows, *writes.gone):
                self._changed.note(gateway)
            return
        self._behind -= writes.caught_up
        self._behind.difference_update(writes.gone)
        for gateway in writes.gone:
            if (written := self._written.pop(gateway, None)) is not None:
                del self._by_shard[shard][written[0]]

    def _commands(self, shard: int, writes: _Writes) -> list[_Command]:
        rows, behind = names.roster_rows(shard), names.behind(shard)
        commands: list[_Command] = []
        if writes.rows:
            pairs = writes.rows.values()
            commands += [
                _addition(names.roster(shard), [member for member, _ in pairs]),
                (rows, ("HSET", rows, *itertools.chain(*pairs))),
            ]
        if writes.behind:
            commands.append(_addition(behind, [writes.rows[each][0] for each in writes.behind]))
        if writes.caught_up:
            members = [writes.rows[each][0] for each in writes.caught_up]
            commands.append((behind, ("ZREM", behind, *members)))
        if writes.gone:
            members = [self._written[gateway][0] for gateway in writes.gone if gateway in self._written]
            commands += [*(_removal(shard, members) if members else ()), *self._remember(shard, writes.gone)]
        return commands

    def _remember(self, shard: int, gone: Sequence[Gateway]) -> list[_Command]:
        """What remembers how connections ended."""
        now = time.time()
        hour = int(now // HOUR_SECONDS)
        key, closed = names.closes(shard, hour), names.closed(shard, hour)
        if key not in self._closes and len(self._closes) >= names.SHARDS:
            self._closes.clear()  # those of hours that are over
        room = MOST_CLOSES - self._closes.get(key, 0)
        # A poll ends with each reply.
        ended = [gateway for gateway in gone if gateway.transport is not Transport.POLL][: max(0, room)]
        pairs = [close_of(gateway, int(now * 1000), self._address) for gateway in ended]
        if not pairs:
            return []
        self._closes[key] = self._closes.get(key, 0) + len(pairs)
        commands: list[_Command] = [
            (key, ("HSET", key, *itertools.chain(*pairs))),
            (key, ("PEXPIRE", key, _KEEP_CLOSES_MS)),
        ]
        fields = [
            name for gateway, (name, _) in zip(ended, pairs, strict=True) if gateway.last_row is not None
        ]
        if fields:
            commands += [_addition(closed, fields), (closed, ("PEXPIRE", closed, _KEEP_CLOSES_MS))]
        return commands


def _addition(key: str, members: Sequence[bytes]) -> _Command:
    """What adds members to a sorted set that is in their own order: all have the same score."""
    return key, ("ZADD", key, *(part for member in members for part in (0, member)))


def _removal(shard: int, members: Sequence[bytes]) -> list[_Command]:
    roster, rows, behind = names.roster(shard), names.roster_rows(shard), names.behind(shard)
    return [
        (rows, ("HDEL", rows, *members)),
        (behind, ("ZREM", behind, *members)),
        (roster, ("ZREM", roster, *members)),
    ]
