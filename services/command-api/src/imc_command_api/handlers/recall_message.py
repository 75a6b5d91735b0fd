"""Recall a message."""

from collections.abc import Callable

from imc_contracts import events
from imc_contracts.events import RecallMark
from imc_contracts.views import Message

from imc_command_api.domain import message
from imc_command_api.handlers.ports import Appended, Apps, Log, Lookup, Recall, Write, WriteThrough


class RecallMessageHandler:
    """A recall is acknowledged once it is in the log. Of two at the same time, one succeeds.

    ``window_ms`` returns the recall window of an app, in milliseconds.
    """

    def __init__(
        self,
        log: Log,
        lookup: Lookup,
        write_through: WriteThrough,
        clock: Callable[[], int],
        window_ms: Callable[[str], int],
    ) -> None:
        self._log = log
        self._lookup = lookup
        self._write_through = write_through
        self._clock = clock
        self._window_ms = window_ms

    async def __call__(self, message_id: int, recall_cause: str | None, apps: Apps) -> Message:
        """Look the message up in ``apps``, recall it, and return it as recalled; raises `Refused`."""
        sent = await self._lookup.message(message_id, apps)
        recalled = message.recall(sent, recall_cause, self._clock(), self._window_ms(sent["appId"]))
        event = events.message_recalled(recalled)
        mark = RecallMark(recalled["messageId"], recalled["recallTime"], recalled["recallCause"])
        outcome = await self._log.append_one(
            recalled["appId"],
            Write(event, message_id, recall=Recall(recalled["createTime"], mark)),
        )
        if not isinstance(outcome, Appended):
            raise message.already_recalled()
        await self._write_through(recalled["appId"], event.at(outcome.cursor.entry))
        return recalled
