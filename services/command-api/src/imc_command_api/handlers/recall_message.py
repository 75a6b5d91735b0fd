"""Recall a message."""

from collections.abc import Callable

from imc_contracts import events
from imc_contracts.commands import RecallMessage
from imc_contracts.events import RecallMark
from imc_contracts.views import Message

from imc_command_api.domain import message
from imc_command_api.handlers.ports import Apps, Log, Originals, WriteThrough
from imc_command_api.log.writes import Appended, Recall, Write


class RecallMessageHandler:
    """A recall is acknowledged once it is in the log; of two at once, one happens."""

    def __init__(
        self,
        log: Log,
        originals: Originals,
        write_through: WriteThrough,
        clock: Callable[[], int],
        window_ms: int,
    ) -> None:
        self._log = log
        self._originals = originals
        self._write_through = write_through
        self._clock = clock
        self._window_ms = window_ms

    async def __call__(self, command: RecallMessage, apps: Apps) -> Message:
        """The message, looked for in ``apps``, as recalled; raises `Refused`."""
        original = await self._originals.message(command.message_id, apps)
        recalled = message.recall(original, command, self._clock(), self._window_ms)
        event = events.message_recalled(recalled)
        mark = RecallMark(recalled["messageId"], recalled["recallTime"], recalled["recallCause"])
        outcome = await self._log.append_one(
            recalled["appId"],
            Write(event, command.message_id, recall=Recall(recalled["createTime"], mark)),
        )
        if not isinstance(outcome, Appended):
            raise message.already_recalled()
        await self._write_through(recalled["appId"], event.at(outcome.cursor.entry))
        return recalled
