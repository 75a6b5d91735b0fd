"""Processes built wrongly, each in one way that was tempting: negative controls of the checker.

A checker that calls a run of one of these clean proves nothing.
"""

import itertools
import os
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from imc_contracts import names

from imc_testkit.variants.patching import replace, with_text

TIME = "LOST_PUBLISH_TIME"
_XADD = "redis.call('XADD', log, '*', 'k', kind, 'v', body)"


def _acknowledges_first() -> None:
    """Takes an entry off the log's list before the database has it."""

    def make(original: Any) -> Any:
        async def write(self: Any, entries: Any) -> Any:
            await self._acknowledge(entries)
            return await original(self, entries)

        return write

    replace("imc_command_api.projector.writer:BatchWriter.write", make)


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
    _patch_append_script((_XADD, _XADD.replace("'*'", "'1-' .. (tonumber(known[3]) or 0) + appended + 1")))


def _trims_by_length() -> None:
    """Bounds the log by its length, whatever the database still lacks."""
    _patch_append_script((_XADD, _XADD.replace("log, '*'", "log, 'MAXLEN', '=', 20, '*'")))


def _publishes_apart() -> None:
    """Publishes outside of the script: before it, under ids that the script is told to use then."""
    _patch_append_script(
        (_XADD, _XADD.replace("'*'", "ARGV[1] .. '-' .. appended")),
        ("redis.call('PUBLISH', ARGV[1], table.concat(published, '\\n'))", ""),
    )
    milliseconds: dict[str, int] = {}

    def make_run(original: Any) -> Any:
        async def run(self: Any, app_id: str, writes: Any) -> Any:
            redis = self._script.registered_client
            epoch, last = await redis.hmget(names.log_state(app_id), ["epoch", "last"])
            seconds, micros = await redis.time()
            milliseconds[app_id] = now = seconds * 1000 + micros // 1000
            if epoch:
                milliseconds[app_id] = now = max(now, int(last.split(b"-")[0]) + 1)
                events = [(write.event.kind.value, write.event.body) for write in writes]
                lines = [b"%d-%d %b %b" % (now, at, kind, body) for at, (kind, body) in enumerate(events)]
                channel = names.live(app_id, self._database)
                await redis.publish(channel, b"\n".join((epoch + b" " + last, *lines)))
            return await original(self, app_id, writes)

        return run

    def make_arguments(original: Any) -> Any:
        def arguments(self: Any, app_id: str, writes: Any, keys: Any) -> Any:
            return [milliseconds[app_id], *original(self, app_id, writes, keys)[1:]]

        return arguments

    replace("imc_command_api.log.script:AppendScript.run", make_run)
    replace("imc_command_api.log.script:AppendScript._arguments", make_arguments)


def _restores_status() -> None:
    """Writes a message's row as the newest arrival says, also when that is an old send."""

    def make(original: Any) -> Any:
        def assignments(file: str, new: Any) -> str:
            text = original(file, new)
            if file != "merge_message.sql":
                return text
            retires = f"app_id = {new.app_id} AND status = 1 AND {new.status} = 0"
            kept = f"status = CASE WHEN {retires} THEN 0 ELSE status END"
            return with_text(text, kept, f"status = {new.status}")

        return assignments

    replace("imc_command_api.store.statements:_assignments", make)


def _loses_a_publish() -> None:
    """Not wrong in itself: what Pub/Sub may do, the ``LOST_PUBLISH_TIME``-th time."""
    time, times = int(os.environ[TIME]), itertools.count(1)

    def make(original: Any) -> Any:
        def arguments(self: Any, app_id: str, writes: Any, keys: Any) -> Any:
            made = original(self, app_id, writes, keys)
            if next(times) == time:
                made[0] += ":lost"
            return made

        return arguments

    replace("imc_command_api.log.script:AppendScript._arguments", make)


def _patch_append_script(*changes: tuple[str, str]) -> None:
    def make(original: Any) -> Any:
        def script_in(redis: Any, package: str, name: str) -> Any:
            if name != "append.lua":
                return original(redis, package, name)
            text = files(package).joinpath(name).read_text()
            for old, new in changes:
                text = with_text(text, old, new)
            return redis.register_script(text)

        return script_in

    replace("imc_command_api.log.script:script_in", make)


VARIANTS: dict[str, Callable[[], None]] = {
    # projector
    "acknowledges-first": _acknowledges_first,
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
