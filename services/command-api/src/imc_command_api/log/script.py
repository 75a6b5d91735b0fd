"""Runs the append script on one app's writes."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from imc_contracts import names
from imc_contracts.errors import Refused
from imc_service.redis.masters import Argument, Masters

from imc_command_api.domain.ids import time_of
from imc_command_api.handlers.ports import Outcome, Write
from imc_command_api.log.records import read_outcome, receipt_of
from imc_command_api.quota.send_quota import SendQuota

MINUTE_MS = 60_000
_BUCKET_EMPTY, _BYTES_WAIT = b"q", b"b"

REPLICAS_MS = 1000
"""How long an append waits for the replicas that have to acknowledge it."""


class BacklogFull(Exception):
    """Too many entries of the app wait for the database; nothing was appended."""


class NewApp(Exception):
    """The app has no log, and may not begin one; nothing was appended."""


class LogAtItsEnd(Exception):
    """The log has an entry, made by hand, after whose id none can be stored; nothing was appended."""


_REASONS: Mapping[bytes, type[Exception]] = {b"full": BacklogFull, b"new": NewApp, b"end": LogAtItsEnd}


@dataclass(frozen=True, slots=True)
class Limits:
    """``backlog``: the most entries that may wait for the database. The others are milliseconds."""

    backlog: int
    keep_recent_ms: Callable[[], int]
    keep_sent_ms: int


class AppendScript:
    """Runs ``append.lua``. Atomic: either every write has an outcome, or nothing happened."""

    def __init__(self, masters: Masters, limits: Limits, quota: SendQuota, ack_replicas: int = 0) -> None:
        """``ack_replicas``: how many replicas must have a batch before it has an outcome."""
        self._masters = masters
        self._script = masters.script("imc_command_api.log", "append.lua")
        self._limits = limits
        self._quota = quota
        self._ack_replicas = ack_replicas

    async def run(
        self, app_id: str, writes: Sequence[Write], *, may_begin: bool = True
    ) -> list[Outcome | Refused]:
        """Append ``writes`` to the app's log; an outcome, or a refusal for a quota, for each.

        Raises `BacklogFull`, `LogAtItsEnd`, `NewApp` unless the log exists or ``may_begin``, and what
        redis-py raises. After a lost connection or a timeout it is not known whether the batch was appended;
        after `imc_service.redis.errors.NotReplicated` it was, but may be lost.
        """
        shard = names.shard_of(app_id)
        keys = [
            names.log(app_id),
            names.log_state(app_id),
            names.recalled(app_id),
            names.send_quota(app_id),
            names.pending(shard),
            names.changes(shard),
            names.apps(shard),
        ]
        arguments = self._arguments(app_id, writes, keys, may_begin)
        reply = cast("bytes | list[bytes | int]", await self._call(keys, arguments))
        if isinstance(reply, bytes):
            raise _REASONS[reply](app_id)
        epoch = cast(bytes, reply[0]).decode()
        results = cast("list[bytes]", reply[2:])
        refusals = self._refusals(app_id, results, cast(int, reply[1]))
        return [
            refusals.get(result) or read_outcome(epoch, result.decode(), write)
            for result, write in zip(results, writes, strict=True)
        ]

    async def _call(self, keys: list[str], arguments: list[Argument]) -> object:
        if self._ack_replicas == 0:
            return await self._script(keys, arguments)
        return await self._script.replicated(
            keys, arguments, replicas=self._ack_replicas, milliseconds=REPLICAS_MS
        )

    def _refusals(self, app_id: str, results: Sequence[bytes], wait_us: int) -> dict[bytes, Refused]:
        """The refusals that the script's results stand for."""
        refusals: dict[bytes, Refused] = {}
        if _BUCKET_EMPTY in results:
            refusals[_BUCKET_EMPTY] = self._quota.sends_used_up(app_id, wait_us)
        if _BYTES_WAIT in results:
            refusals[_BYTES_WAIT] = self._quota.backlog_used_up(app_id)
        return refusals

    def _arguments(
        self, app_id: str, writes: Sequence[Write], keys: list[str], may_begin: bool
    ) -> list[Argument]:
        """The script's ARGV. Adds the keys that the writes need to ``keys``."""
        recent: dict[int, int] = {}
        limits, bucket, shard = self._limits, self._quota.bucket(app_id), names.shard_of(app_id)
        # Sends without a clientMessageId, as most are, have nothing but what every event has.
        are_plain = not [write for write in writes if write.sending is not None or write.recall is not None]
        arguments: list[Argument] = [
            names.live(app_id, self._masters.database),
            new_epoch(),
            limits.backlog,
            limits.keep_recent_ms(),
            limits.keep_sent_ms,
            app_id,
            bucket.send_us,
            bucket.depth_us,
            bucket.backlog_bytes,
            int(may_begin),
            int(self._ack_replicas > 0),
            names.CHANGES_KEPT,
            4 if are_plain else 7,
        ]
        for (kind, body), id_, sending, recall, trace in writes:
            minute = time_of(id_) // MINUTE_MS
            if minute not in recent:
                recent[minute] = _added(keys, names.recent(shard, minute))
            arguments += (
                kind if trace is None else kind + trace.encode("ascii"),
                body,
                id_,
                recent[minute],
            )
            if not are_plain:
                arguments += (
                    _added(keys, names.sent(app_id, sending.client_message_id)) if sending else 0,
                    receipt_of(sending) if sending else b"",
                    b"%d %b" % (recall.sent_at, recall.mark.encode()) if recall else b"",
                )
        return arguments


def _added(keys: list[str], key: str) -> int:
    """Add ``key`` to ``keys``; returns its index as Lua counts. A key may be there twice."""
    keys.append(key)
    return len(keys)


def new_epoch() -> str:
    """The epoch of a new log. No other log has the same."""
    return secrets.token_hex(6)
