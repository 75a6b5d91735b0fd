"""Publish a notice."""

from imc_contracts import events
from imc_contracts.commands import PublishNotice
from imc_contracts.cursor import Cursor
from imc_contracts.errors import unavailable
from imc_contracts.views import NoticeReceipt

from imc_command_api.domain import notice
from imc_command_api.domain.idempotency import other_payload
from imc_command_api.domain.ids import time_of
from imc_command_api.handlers.ports import (
    Admission,
    AlreadyRetired,
    Ids,
    IdsUnavailable,
    Log,
    Repeated,
    Sending,
    Write,
    WriteThrough,
)


class PublishNoticeHandler:
    """A notice is acknowledged once it is in the log."""

    def __init__(self, log: Log, ids: Ids, admission: Admission, write_through: WriteThrough) -> None:
        self._log = log
        self._ids = ids
        self._admission = admission
        self._write_through = write_through

    async def __call__(self, command: PublishNotice) -> NoticeReceipt:
        """The receipt of the notice; raises `Refused`."""
        self._admission.require(command.app_id)
        try:
            information_id = self._ids.next()
        except IdsUnavailable:
            raise unavailable("no notice ids can be made") from None
        sending = _sending(command, information_id)
        event = events.notice_published(notice.compose(command, information_id, time_of(information_id)))
        outcome = await self._log.append_one(command.app_id, Write(event, information_id, sending))
        assert not isinstance(outcome, AlreadyRetired)
        is_duplicate = isinstance(outcome, Repeated)
        if is_duplicate:
            assert sending is not None
            if outcome.original.digest != sending.digest:
                raise other_payload()
            information_id = outcome.original.id
        await self._make_readable(command, information_id, outcome.cursor)
        return {
            "informationId": str(information_id),
            "createTime": time_of(information_id),
            "cursor": outcome.cursor_text,
            "duplicate": is_duplicate,
        }

    async def _make_readable(self, command: PublishNotice, information_id: int, cursor: Cursor) -> None:
        # A duplicate too: the process that took the first one may have died before it came to this.
        view = notice.compose(command, information_id, time_of(information_id))
        await self._write_through(command.app_id, events.notice_published(view).at(cursor.entry))


def _sending(command: PublishNotice, information_id: int) -> Sending | None:
    """What the log remembers of this notice, if it bears a ``clientMessageId``."""
    if command.client_message_id is None:
        return None
    create_time = time_of(information_id)
    return Sending(command.client_message_id, information_id, create_time, notice.digest(command))
