"""The append script: one app's writes in, their outcomes out."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from imc_contracts import names
from imc_contracts.errors import Refused
from imc_service.redis.client import database_of, script_in
from redis.asyncio import Redis

from imc_command_api.domain.ids import time_of
from imc_command_api.handlers.ports import Outcome, Write
from imc_command_api.log.records import read_outcome, receipt_of
from imc_command_api.quota.send_quota import SendQuota

MINUTE_MS = 60_000
_BUCKET_EMPTY, _BYTES_WAIT = b"q", b"b"


class BacklogFull(Exception):
    """Too many entries of the app wait for the database; nothing was appended."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``backlog``: the most entries that may wait for the database. The others are milliseconds."""

    backlog: int
    keep_recent_ms: int
    keep_sent_ms: int


@dataclass(frozen=True, slots=True)
class AppendResult:
    """The outcomes in the order of the writes; ``is_new_log`` when this was the log's first append.

    A write that the app's quota leaves no room for is a refusal.
    """

    outcomes: list[Outcome | Refused]
    is_new_log: bool


class AppendScript:
    """Runs ``append.lua``. Atomic: either every write has an outcome, or nothing happened."""

    def __init__(self, redis: Redis, limits: Limits, quota: SendQuota) -> None:
        self._script = script_in(redis, "imc_command_api.log", "append.lua")
        self._database = database_of(redis)
        self._limits = limits
        self._quota = quota

    async def run(self, app_id: str, writes: Sequence[Write]) -> AppendResult:
        """Append ``writes`` to the app's log.

        Raises `BacklogFull`, and what redis-py raises; after a lost connection or a timeout it is not known
        whether the batch was appended.
        """
        keys = [
            names.log(app_id),
            names.log_state(app_id),
            names.recalled(app_id),
            names.send_quota(app_id),
        ]
        arguments = self._arguments(app_id, writes, keys)
        reply = cast("bytes | list[bytes | int]", await self._script(keys=keys, args=arguments))
        if isinstance(reply, bytes):
            raise BacklogFull(app_id)
        epoch = cast(bytes, reply[0]).decode()
        results = cast("list[bytes]", reply[3:])
        refusals = self._refusals(app_id, results, cast(int, reply[2]))
        outcomes = [
            refusals.get(result) or read_outcome(epoch, result.decode(), write)
            for result, write in zip(results, writes, strict=True)
        ]
        return AppendResult(outcomes, reply[1] == 1)

    def _refusals(self, app_id: str, results: Sequence[bytes], wait_us: int) -> dict[bytes, Refused]:
        """What a write is refused with, by what the script says of it."""
        refusals: dict[bytes, Refused] = {}
        if _BUCKET_EMPTY in results:
            refusals[_BUCKET_EMPTY] = self._quota.sends_used_up(app_id, wait_us)
        if _BYTES_WAIT in results:
            refusals[_BYTES_WAIT] = self._quota.backlog_used_up(app_id)
        return refusals

    def _arguments(
        self, app_id: str, writes: Sequence[Write], keys: list[str]
    ) -> list[str | bytes | int | float]:
        """The script's ARGV; appends to ``keys`` those that the writes need."""
        recent: dict[int, int] = {}
        limits, bucket = self._limits, self._quota.bucket(app_id)
        arguments: list[str | bytes | int | float] = [
            names.live(app_id, self._database),
            new_epoch(),
            limits.backlog,
            limits.keep_recent_ms,
            limits.keep_sent_ms,
            names.PROJECTOR_GROUP,
            bucket.send_us,
            bucket.depth_us,
            bucket.backlog_bytes,
        ]
        for (kind, body), id_, sending, recall in writes:
            minute = time_of(id_) // MINUTE_MS
            if minute not in recent:
                recent[minute] = _added(keys, names.recent(app_id, minute))
            arguments += (
                kind,
                body,
                id_,
                recent[minute],
                _added(keys, names.sent(app_id, sending.client_message_id)) if sending else 0,
                receipt_of(sending) if sending else b"",
                b"%d %b" % (recall.sent_at, recall.mark.encode()) if recall else b"",
            )
        return arguments


def _added(keys: list[str], key: str) -> int:
    """The number of ``key`` among the keys, as a script counts them; the same key may stand there twice."""
    keys.append(key)
    return len(keys)


def new_epoch() -> str:
    """A word for a log that begins: no other log has it."""
    return secrets.token_hex(6)
