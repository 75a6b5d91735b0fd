"""Delete a notice."""

from collections.abc import Callable

from imc_contracts import events
from imc_contracts.commands import DeleteNotice
from imc_contracts.views import Notice

from imc_command_api.domain import notice
from imc_command_api.handlers.ports import Apps, Log, Originals, WriteThrough
from imc_command_api.log.writes import Appended, Write


class DeleteNoticeHandler:
    """A deletion is acknowledged once it is in the log; of two at once, one happens."""

    def __init__(
        self, log: Log, originals: Originals, write_through: WriteThrough, clock: Callable[[], int]
    ) -> None:
        self._log = log
        self._originals = originals
        self._write_through = write_through
        self._clock = clock

    async def __call__(self, command: DeleteNotice, apps: Apps) -> Notice:
        """The notice, looked for in ``apps``, as deleted; raises `Refused`."""
        original = await self._originals.notice(command.information_id, apps)
        deleted = notice.delete(original, self._clock())
        event = events.notice_deleted(deleted)
        outcome = await self._log.append_one(deleted["appId"], Write(event, command.information_id))
        if not isinstance(outcome, Appended):
            raise notice.already_deleted()
        await self._write_through(deleted["appId"], event.at(outcome.cursor.entry))
        return deleted
