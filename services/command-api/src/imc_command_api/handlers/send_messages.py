"""Send messages: one, or a batch of any apps."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from imc_contracts import events
from imc_contracts.commands import SendMessage
from imc_contracts.errors import Refused, unavailable
from imc_contracts.views import SendReceipt

from imc_command_api.domain import message
from imc_command_api.domain.idempotency import other_payload
from imc_command_api.domain.ids import time_of
from imc_command_api.handlers.ports import (
    Admission,
    Appended,
    Ids,
    IdsUnavailable,
    Log,
    Outcome,
    Repeated,
    Sending,
    Write,
)


@dataclass(slots=True)
class _Part:
    """The messages of one app, and their indexes in the batch."""

    indexes: list[int] = field(default_factory=list[int])
    writes: list[Write] = field(default_factory=list[Write])


class SendMessages:
    """A message is acknowledged once it is in its app's log."""

    def __init__(self, log: Log, ids: Ids, admission: Admission) -> None:
        self._log = log
        self._ids = ids
        self._admission = admission

    async def one(self, command: SendMessage) -> SendReceipt:
        """Send one message; raises `Refused`."""
        self._admission.require(command.app_id)
        write = self._write(command)
        answer = _answer(write, await self._log.append_one(command.app_id, write))
        if isinstance(answer, Refused):
            raise answer
        return answer

    async def batch(self, commands: Sequence[SendMessage | Refused]) -> list[SendReceipt | Refused]:
        """Send messages of any apps; a receipt or a refusal for each, in their order.

        A refusal in ``commands`` is returned as it is. The messages of one app keep their order in its log.
        """
        answers: list[SendReceipt | Refused | None] = []
        by_app: dict[str, _Part] = {}
        for index, command in enumerate(commands):
            if isinstance(command, Refused):
                answers.append(command)
                continue
            part = by_app.get(command.app_id)
            if part is None:
                try:
                    self._admission.require(command.app_id)
                except Refused as refused:
                    answers.append(refused)
                    continue
                part = by_app[command.app_id] = _Part()
            answers.append(None)
            part.indexes.append(index)
            part.writes.append(self._write(command))
        await asyncio.gather(*(self._append(app_id, part, answers) for app_id, part in by_app.items()))
        return [answer for answer in answers if answer is not None]

    async def _append(self, app_id: str, part: _Part, answers: list[SendReceipt | Refused | None]) -> None:
        outcomes = await self._log.append(app_id, part.writes)
        for index, write, outcome in zip(part.indexes, part.writes, outcomes, strict=True):
            answers[index] = outcome if isinstance(outcome, Refused) else _answer(write, outcome)

    def _write(self, command: SendMessage) -> Write:
        try:
            message_id = self._ids.next()
        except IdsUnavailable:
            raise unavailable("no message ids can be made") from None
        create_time = time_of(message_id)
        sending = None
        if command.client_message_id is not None:
            sending = Sending(command.client_message_id, message_id, create_time, message.digest(command))
        event = events.message_sent(message.compose(command, message_id, create_time))
        return Write(event, message_id, sending)


def _answer(write: Write, outcome: Outcome) -> SendReceipt | Refused:
    message_id, duplicate = write.id, False
    if not isinstance(outcome, Appended):
        assert isinstance(outcome, Repeated)
        assert write.sending is not None
        if outcome.original.digest != write.sending.digest:
            return other_payload()
        message_id, duplicate = outcome.original.id, True
    return {
        "messageId": str(message_id),
        "createTime": time_of(message_id),
        "cursor": outcome.cursor_text,
        "duplicate": duplicate,
    }
