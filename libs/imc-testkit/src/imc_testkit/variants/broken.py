"""Processes built wrongly, each in one way that was tempting: negative controls of the checker.

A checker that calls a run of one of these clean proves nothing.
"""

import itertools
import os
import re
from collections.abc import Callable
from importlib.resources import files
from pkgutil import resolve_name
from typing import Any

from imc_contracts import names

from imc_testkit.variants.patching import replace, with_text

TIME = "LOST_PUBLISH_TIME"
_LATE = 9_999_999_999_999
"""Milliseconds of a time to come: an app with old entries alone would be forgotten."""

_STATUS = re.compile(r"\bstatus = CASE WHEN .* THEN 0 ELSE status END")
_XADD = "redis.pcall('XADD', log, next_id, ...)"


def _advances_first() -> None:
    """Moves positions past entries before the database has them."""

    progress = resolve_name("imc_command_api.projector.logs:ProjectedStretch")

    def make(original: Any) -> Any:
        async def write_part(self: Any, part: Any) -> Any:
            await self._logs.advance([progress(stretch, []) for stretch in part])
            return await original(self, part)

        return write_part

    replace("imc_command_api.projector.worker:Worker._write_part", make)


def _repairs_no_hole() -> None:
    """Tells each published batch that is newer, whatever came before it."""

    def make(_original: Any) -> Any:
        def fits(self: Any, batch: Any) -> bool:
            head = self._outbox.head
            if batch.entries and batch.entries[-1].id > head.entry:
                newest = head._replace(epoch=batch.epoch, entry=batch.entries[-1].id)
                self._delivery.tell(batch.epoch, batch.entries, newest)
            return True

        return fits

    replace("imc_push_node.stream.follower:Follower._fits", make)


def _checks_no_replay_buffer() -> None:
    """Relies on Pub/Sub for the newest entries."""

    def make(_original: Any) -> Any:
        def check(_self: Any, _state: Any, _head_before: Any) -> bool:
            return False

        return check

    replace("imc_push_node.stream.follower:Follower.check", make)


def _counts_entries() -> None:
    """Makes dense entry ids by a counter of its own: a stale log goes on to give out those that it lost."""
    _patch_append_script((_XADD, _xadd(f"'{_LATE}-' .. (redis.call('XLEN', log) + 1)")))


def _trims_by_length() -> None:
    """Bounds the log by its length, whatever the database still lacks."""
    _patch_append_script((_XADD, _xadd("'MAXLEN', '=', 20, next_id")))


def _publishes_apart() -> None:
    """Publishes outside of the script: before it, under ids that the script is told to use then."""
    _patch_append_script(
        (_XADD, _xadd("ARGV[1] .. '-' .. appended")),
        ("redis.call('SPUBLISH', ARGV[1], table.concat(published))", ""),
    )
    milliseconds: dict[str, int] = {}

    def make_run(original: Any) -> Any:
        async def run(self: Any, app_id: str, writes: Any, **options: Any) -> Any:
            [(redis, _)] = self._masters.by_master([names.log(app_id)])
            epoch, last = await redis.hmget(names.log_state(app_id), ["epoch", "last"])
            seconds, micros = await redis.time()
            milliseconds[app_id] = now = seconds * 1000 + micros // 1000
            if epoch:
                milliseconds[app_id] = now = max(now, int(last.split(b"-")[0]) + 1)
                events = [(write.event.kind.value, write.event.body) for write in writes]
                lines = [b"%d-%d %b %b" % (now, at, kind, body) for at, (kind, body) in enumerate(events)]
                channel = names.live(app_id, self._masters.database)
                await redis.spublish(channel, b"\n".join((epoch + b" " + last, *lines)))
            return await original(self, app_id, writes, **options)

        return run

    def make_arguments(original: Any) -> Any:
        def arguments(self: Any, app_id: str, *rest: Any) -> Any:
            return [milliseconds[app_id], *original(self, app_id, *rest)[1:]]

        return arguments

    replace("imc_command_api.log.script:AppendScript.run", make_run)
    replace("imc_command_api.log.script:AppendScript._arguments", make_arguments)


def _restores_status() -> None:
    """Writes a message's row as the newest arrival says, also when that is an old send."""

    def make(original: Any) -> Any:
        def assignments(self: Any, file: str) -> str:
            text = original(self, file)
            if file != "merge_message.sql":
                return text
            status = "excluded.status" if self.is_sqlite else "VALUES(status)"
            return _STATUS.sub(f"status = {status}", text)

        return assignments

    replace("imc_command_api.store.statements:_Upsert._assignments", make)


def _loses_a_publish() -> None:
    """Not wrong in itself: what Pub/Sub may do, the ``LOST_PUBLISH_TIME``-th time."""
    time, times = int(os.environ[TIME]), itertools.count(1)

    def make(original: Any) -> Any:
        def arguments(self: Any, *rest: Any) -> Any:
            made = original(self, *rest)
            if next(times) == time:
                made[0] += ":lost"
            return made

        return arguments

    replace("imc_command_api.log.script:AppendScript._arguments", make)


def _xadd(arguments: str) -> str:
    """What appends with other arguments than `_XADD`. A refusal fails the script."""
    return f"redis.call('XADD', log, {arguments}, ...)"


def _patch_append_script(*changes: tuple[str, str]) -> None:
    def make(original: Any) -> Any:
        def script(self: Any, package: str, *names_: str) -> Any:
            made = original(self, package, *names_)
            if names_ != ("append.lua",):
                return made
            text = files(package).joinpath("append.lua").read_text("utf-8")
            for old, new in changes:
                text = with_text(text, old, new)
            return type(made)(self, text)

        return script

    replace("imc_service.redis.masters:Masters.script", make)


VARIANTS: dict[str, Callable[[], None]] = {
    # projector
    "advances-first": _advances_first,
    "restores-status": _restores_status,
    # push-node
    "repairs-no-hole": _repairs_no_hole,
    "checks-no-tail": _checks_no_replay_buffer,
    # command-api
    "counts-entries": _counts_entries,
    "trims-by-length": _trims_by_length,
    "publishes-apart": _publishes_apart,
    "loses-a-publish": _loses_a_publish,
}
"""By what they do."""
