"""Delete a notice."""

from collections.abc import Callable

from imc_contracts import events
from imc_contracts.views import Notice

from imc_command_api.domain import notice
from imc_command_api.handlers.ports import Appended, Apps, Log, Lookup, Write, WriteThrough


class DeleteNoticeHandler:
    """A deletion is acknowledged once it is in the log. Of two at the same time, one succeeds."""

    def __init__(
        self, log: Log, lookup: Lookup, write_through: WriteThrough, clock: Callable[[], int]
    ) -> None:
        self._log = log
        self._lookup = lookup
        self._write_through = write_through
        self._clock = clock

    async def __call__(self, information_id: int, apps: Apps) -> Notice:
        """Look the notice up in ``apps``, delete it, and return it as deleted; raises `Refused`."""
        published = await self._lookup.notice(information_id, apps)
        deleted = notice.delete(published, self._clock())
        event = events.notice_deleted(deleted)
        outcome = await self._log.append_one(deleted["appId"], Write(event, information_id))
        if not isinstance(outcome, Appended):
            raise notice.already_deleted()
        await self._write_through(deleted["appId"], event.at(outcome.cursor.entry))
        return deleted
