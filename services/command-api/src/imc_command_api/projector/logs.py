"""What a projector reads from the logs of one master, and writes beside them."""

import random
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from imc_contracts import names
from imc_service.logs import get_logger
from imc_service.redis.errors import code_of, words_of
from imc_service.redis.masters import Argument, Masters, replies_of
from redis.asyncio import Redis
from redis.exceptions import RedisError

from imc_command_api.log.script import REPLICAS_MS
from imc_command_api.projector.routing import by_any_of
from imc_command_api.projector.stretch import Stretch, understand

logger = get_logger("projector.logs")

READ_ENTRIES = 1000
"""The most entries that are read of one log at once."""

READ_BYTES = 32 * 1024 * 1024
"""The most that one read should return, estimated from the average size of entries."""

READ_APPS = 500
"""The most logs that are read at once."""

APPS_OF_A_SHARD = 100
"""The most apps of one shard that are asked for at once. The others follow."""

_ADVANCED_AT_ONCE = 100
"""Positions that one script moves. Redis serves nobody else meanwhile."""

_RECALL_MARGIN_MS = 600_000
"""Recall marks are kept longer by this: their time comes from another clock than the log's."""

_UPKEEP_MS = 60_000
"""Least time between two upkeeps of an app."""

_KEPT_APP_MS = 3_600_000
"""After this time it is looked whether an app that only its gateways or dead letters keep may go."""

_MOVING = {"MOVED", "ASK", "TRYAGAIN"}
"""The log is moving to another master, from which it is read then."""

_TOLD = 100
"""The most apps whose logs can't be read that are told of."""

_PACKAGE = "imc_command_api.projector"

Ahead = tuple[bytes, bytes]
"""The epoch of a log, and the newest entry of it that was read."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of a log is kept once the database has it. Entries within both bounds stay."""

    milliseconds: int
    entries: int
    app_milliseconds: int
    """How long an app is kept after its last entry, if it has no gateways and no dead letters."""


class FailedEntry(NamedTuple):
    """An entry that belongs to the dead letters, and why."""

    entry_id: bytes
    kind: str
    reason: str


class ProjectedStretch(NamedTuple):
    """A stretch that is done with: its entries are in the database, or among ``letters``."""

    stretch: Stretch
    letters: Sequence[FailedEntry]


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the database is behind the logs of some shards.

    ``entries`` are lacking from all apps, ``entries_of_one_app`` from the app that lacks most. ``seconds`` is
    the age of the oldest.
    """

    entries: int = 0
    entries_of_one_app: int = 0
    seconds: float = 0


class Logs:
    """Every method may raise what redis-py raises, and may be called again after that.

    Shards and apps that are given to a method lie on one master.
    """

    def __init__(self, masters: Masters, projector: str, retention: Retention, ack_replicas: int = 0) -> None:
        """``projector`` is the name under which shards are owned.

        ``ack_replicas``: how many replicas must have what is read.
        """
        self._masters = masters
        self._projector = projector
        self._retention = retention
        self._ack_replicas = ack_replicas
        self._hand_over = masters.script(_PACKAGE, "hand_over.lua")
        self._pending = masters.script(_PACKAGE, "pending.lua")
        self._advance = masters.script(_PACKAGE, "advance.lua")
        self._due = masters.script(_PACKAGE, "due.lua")
        self._upkeep = masters.script(_PACKAGE, "upkeep.lua")
        self._average_bytes = 1024.0
        self._told: set[str] = set()

    async def pending(self, shards: Collection[int]) -> list[str]:
        """The apps of which the database lacks entries; those that have waited longest come first."""
        _, since = await self._waiting(shards)
        return sorted(since, key=since.__getitem__)

    async def read(self, redis: Redis, app_ids: Sequence[str], ahead: Mapping[str, Ahead]) -> list[Stretch]:
        """What follows in the logs of apps: on what is ``ahead``, else on what the database has.

        A log that can't be read is left out, so that it stops no other. Raises
        `imc_service.redis.errors.NotReplicated` if too few replicas have what was read: a failover may lose
        it.
        """
        asked_at, positions = time.monotonic(), dict(ahead)
        positions.update(await self._positions(redis, [app_id for app_id in app_ids if app_id not in ahead]))
        app_ids = [app_id for app_id in app_ids if app_id in positions]
        if not app_ids:
            return []
        count = self._count(len(app_ids))
        reads: list[list[Argument]] = [
            ["XRANGE", names.log(app_id), b"(" + positions[app_id][1], "+", "COUNT", count]
            for app_id in app_ids
        ]
        if self._ack_replicas:
            replies = await self._read_replicated(redis, app_ids, reads)
        else:
            replies = await replies_of(redis, reads)
        stretches: list[Stretch] = []
        for app_id, reply in zip(app_ids, replies, strict=True):
            if reply is None:
                continue
            if isinstance(reply, Exception):
                self._leave_out(app_id, reply)
            elif reply or app_id not in ahead:
                entries = [understand(app_id, entry_id, fields) for entry_id, fields in reply]
                stretches.append(Stretch(app_id, *positions[app_id], entries, asked_at))
        self._note_sizes(stretches)
        return stretches

    async def advance(self, done: Iterable[ProjectedStretch]) -> list[bool]:
        """Move the position of each app to the end of its stretch; for each whether it was moved.

        It is not moved if this projector does not own the shard any more, or if the stretch does not begin at
        the position, as after Redis was emptied. Then the log is to be read again.
        """
        waiting, moved = list(done), list[int]()
        for first in range(0, len(waiting), _ADVANCED_AT_ONCE):
            some = waiting[first : first + _ADVANCED_AT_ONCE]
            arguments: list[Argument] = [
                self._projector,
                self._retention.entries,
                self._retention.milliseconds,
            ]
            for progress in some:
                arguments += _arguments_of(progress)
            owners = [names.owner(names.shard_of(progress.stretch.app_id)) for progress in some]
            moved += await self._advance(by_any_of(owners), arguments)
        return [each == 1 for each in moved]

    async def lag(self, redis: Redis, shards: Collection[int]) -> Lag:
        """How far the database is behind the logs of ``shards``."""
        now, since = await self._waiting(shards)
        if not since:
            return Lag()
        async with redis.pipeline(transaction=False) as pipe:
            for app_id in since:
                pipe.hget(names.log_state(app_id), "waiting")
            replies = cast("list[bytes | Exception | None]", await pipe.execute(raise_on_error=False))
        counts = [0 if isinstance(reply, Exception) else int(reply or 0) for reply in replies]
        return Lag(sum(counts), max(counts), max(0.0, (now - min(since.values())) / 1000))

    async def due(self, shards: Collection[int]) -> list[str]:
        """The apps that are due for `tidy`."""
        keys = [names.apps(shard) for shard in shards]
        if not keys:
            return []
        return [app.decode() for app in await self._due(by_any_of(keys), [APPS_OF_A_SHARD, *keys])]

    async def tidy(self, app_id: str) -> tuple[int, bool]:
        """Remove some entries that the log need not keep; tells how many, and if the app was forgotten.

        No entry goes that the database lacks. Such an app is forgotten that has all its entries in the
        database, no gateways, no dead letters, and no entry for long.
        """
        shard, retention = names.shard_of(app_id), self._retention
        keys = [
            names.apps(shard),
            names.pending(shard),
            names.log(app_id),
            names.log_state(app_id),
            names.recalled(app_id),
            names.dead_letters(app_id),
            names.gateways(app_id),
            names.gateway_fence(app_id),
        ]
        arguments: list[Argument] = [
            app_id,
            retention.milliseconds,
            retention.entries,
            _RECALL_MARGIN_MS,
            retention.app_milliseconds,
            _UPKEEP_MS,
            _KEPT_APP_MS,
        ]
        removed, forgotten = await self._upkeep(keys, arguments)
        return removed, forgotten == 1

    async def _read_replicated(
        self, redis: Redis, app_ids: Sequence[str], reads: Sequence[Sequence[Argument]]
    ) -> list[Any]:
        """The replies to ``reads``, once replicas have what they hold; None for each if that can't be known.

        WAIT looks at a write. A shard that is given to its owner once more is one that changes nothing. It is
        none if this projector does not own the shard any more, and refused if the shard is moving.
        """
        owner = names.owner(names.shard_of(random.choice(app_ids)))  # noqa: S311 - no secret
        try:
            replies, [is_own] = await self._hand_over.replicated_after(
                reads,
                redis,
                [owner],
                [owner, self._projector, self._projector],
                replicas=self._ack_replicas,
                milliseconds=REPLICAS_MS,
            )
        except RedisError as error:
            if code_of(error) in _MOVING:
                return [None] * len(reads)
            raise
        return replies if is_own else [None] * len(reads)

    async def _positions(self, redis: Redis, app_ids: Sequence[str]) -> dict[str, Ahead]:
        """The epoch of each log, and the newest entry up to which the database has all."""
        if not app_ids:
            return {}
        async with redis.pipeline(transaction=False) as pipe:
            for app_id in app_ids:
                pipe.hmget(names.log_state(app_id), ["epoch", "projected"])
            replies = cast("list[list[bytes | None] | Exception]", await pipe.execute(raise_on_error=False))
        positions: dict[str, Ahead] = {}
        for app_id, reply in zip(app_ids, replies, strict=True):
            if isinstance(reply, Exception):
                self._leave_out(app_id, reply)
            else:
                epoch, projected = reply
                positions[app_id] = epoch or b"", projected or b"0-0"
        return positions

    async def _waiting(self, shards: Collection[int]) -> tuple[int, dict[str, float]]:
        """The time of Redis, and since when each app waits; both in milliseconds."""
        keys = [names.pending(shard) for shard in shards]
        if not keys:
            return 0, {}
        now, *found = await self._pending(by_any_of(keys), [APPS_OF_A_SHARD, *keys])
        return now, {app.decode(): float(since) for app, since in zip(found[::2], found[1::2], strict=True)}

    def _leave_out(self, app_id: str, error: Exception) -> None:
        code = code_of(error)
        if code in _MOVING:
            return
        if code != "WRONGTYPE":
            raise error
        if app_id not in self._told and len(self._told) < _TOLD:
            self._told.add(app_id)
            logger.error("the log of an app can't be read", error=words_of(error))

    def _count(self, logs: int) -> int:
        """How many entries to ask of each log: Redis has no bound for all of them together."""
        fitting = int(READ_BYTES / (self._average_bytes * max(1, logs)))
        return max(1, min(READ_ENTRIES, fitting))

    def _note_sizes(self, stretches: Sequence[Stretch]) -> None:
        if count := sum(len(stretch.entries) for stretch in stretches):
            average = sum(stretch.size for stretch in stretches) / count
            # Rises at once and sinks slowly: memory is at stake on one side only.
            self._average_bytes = max(average, 0.9 * self._average_bytes + 0.1 * average)


def _arguments_of(progress: ProjectedStretch) -> list[Any]:
    """One app's part of the arguments of ``advance.lua``."""
    stretch, letters = progress
    app_id = stretch.app_id
    shard = names.shard_of(app_id)
    return [
        app_id,
        names.owner(shard),
        names.log(app_id),
        names.log_state(app_id),
        names.pending(shard),
        names.apps(shard),
        names.dead_letters(app_id),
        stretch.epoch,
        stretch.after,
        stretch.end,
        len(stretch.entries),
        stretch.size,
        len(letters),
        *(text for letter in letters for text in (letter.entry_id, letter.reason)),
    ]
