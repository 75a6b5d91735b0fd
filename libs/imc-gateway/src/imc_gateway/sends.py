"""The sends that are not answered yet. They are sent again until they are."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from imc_gateway.errors import ImcError
from imc_gateway.models import Sent


@dataclass(slots=True)
class Send:
    """One send: the frame that holds it, and the future of its answer."""

    client_message_id: str
    frame: str
    answer: asyncio.Future[Sent] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Unanswered:
    """The sends without an answer, in their order; a bounded number of them."""

    def __init__(self, limit: int) -> None:
        self._sends: dict[str, Send] = {}
        self._room = asyncio.Semaphore(limit)
        self._fault: Exception | None = None

    def __iter__(self) -> Iterator[Send]:
        return iter(list(self._sends.values()))

    def __len__(self) -> int:
        return len(self._sends)

    def __contains__(self, send: Send) -> bool:
        return self._sends.get(send.client_message_id) is send

    async def add(self, body: dict[str, Any]) -> Send:
        """Take a send; waits while there are too many. Raises what `fail` was given."""
        await self._room.acquire()
        client_message_id = str(body["clientMessageId"])
        if self._fault is not None or client_message_id in self._sends:
            self._room.release()
            raise self._fault or ValueError(f"clientMessageId {client_message_id} is being sent already")
        frame = json.dumps(body, ensure_ascii=False)
        send = Send(client_message_id, frame)
        self._sends[client_message_id] = send
        return send

    def remove(self, send: Send) -> None:
        """Forget a send: it is answered, or nobody waits for it any more."""
        if send in self:
            del self._sends[send.client_message_id]
            self._room.release()

    def accepted(self, client_message_id: str, sent: Sent) -> None:
        """A send is in the log."""
        send = self._sends.get(client_message_id)
        if send is not None:
            self.remove(send)
            if not send.answer.done():
                send.answer.set_result(sent)

    def refused(self, client_message_id: str, error: ImcError) -> Send | None:
        """A send was refused. Returns it if it can succeed later."""
        send = self._sends.get(client_message_id)
        if send is None or error.is_retryable:
            return send
        self.remove(send)
        if not send.answer.done():
            send.answer.set_exception(error)
        return None

    def fail(self, fault: Exception) -> None:
        """Answer all sends, and those to come, with ``fault``."""
        self._fault = fault
        for send in self:
            self.remove(send)
            if not send.answer.done():
                send.answer.set_exception(fault)
