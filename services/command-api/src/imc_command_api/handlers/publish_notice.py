"""Publish a notice."""

from imc_contracts import events
from imc_contracts.commands import PublishNotice
from imc_contracts.errors import unavailable
from imc_contracts.views import NoticeReceipt

from imc_command_api.domain import notice
from imc_command_api.handlers.ports import Door, Ids, Log, WriteThrough
from imc_command_api.identity.snowflake import LeaseOver, time_of
from imc_command_api.log.writes import Appended, Write


class PublishNoticeHandler:
    """A notice is acknowledged once it is in the log."""

    def __init__(self, log: Log, ids: Ids, door: Door, write_through: WriteThrough) -> None:
        self._log = log
        self._ids = ids
        self._door = door
        self._write_through = write_through

    async def __call__(self, command: PublishNotice) -> NoticeReceipt:
        """The receipt of the notice; raises `Refused`."""
        self._door.require(command.app_id)
        try:
            information_id = self._ids.next()
        except LeaseOver:
            raise unavailable("no notice ids can be made") from None
        create_time = time_of(information_id)
        event = events.notice_published(notice.compose(command, information_id, create_time))
        outcome = await self._log.append_one(command.app_id, Write(event, information_id))
        assert isinstance(outcome, Appended)
        await self._write_through(command.app_id, event.at(outcome.cursor.entry))
        return {
            "informationId": str(information_id),
            "createTime": create_time,
            "cursor": outcome.place,
        }
