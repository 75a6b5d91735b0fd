"""command-api, as a push-node calls it.

What can go wrong is told apart by what may be done about it:

- `NothingAccepted`: try again.
- `UnknownEnd`: the messages may be in the log. Only what is idempotent may be tried again.
- `Refused`: the same call will be refused again.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from imc_contracts.codes import ErrorCode
from imc_contracts.commands import SendMessage, SendMessageBatch
from imc_contracts.envelope import Envelope, Failure
from imc_contracts.views import SendReceipt
from imc_service.logs import get_logger
from pydantic import Field, TypeAdapter, ValidationError

logger = get_logger("command-api-client")

PATH = "/v1/commands/send-messages"

Post = Callable[[bytes], Awaitable[tuple[int, bytes]]]
"""Posts a body to `PATH`: the status and the body of the reply.

Raises `NothingAccepted` if it could not be sent, and whatever it likes if that is not known.
"""

Receipts = list[SendReceipt | str]
"""For each message its receipt, or why it was refused."""

_OK, _UNAVAILABLE = 200, 503
_NOT_KNOWN_THERE = (401, 403)
# From left to right: nearly all are receipts, and each would be held against both.
_Item = Annotated[SendReceipt | Failure, Field(union_mode="left_to_right")]
_ANSWER: TypeAdapter[Envelope[list[SendReceipt | Failure]]] = TypeAdapter(Envelope[list[_Item]])
_FAILURE: TypeAdapter[Failure] = TypeAdapter(Failure)


class NothingAccepted(Exception):
    """The call did not arrive, or was turned away whole."""


class UnknownEnd(Exception):
    """No answer, or none that can be read."""


class Refused(Exception):
    """The call is wrong as a whole; its text is for people."""


class CommandApiClient:
    """Calls command-api by way of ``post``."""

    def __init__(self, post: Post) -> None:
        self._post = post

    async def create(self, sends: Sequence[SendMessage]) -> Receipts:
        """Append messages, at most 500; what became of each, in their order.

        Raises `NothingAccepted`, `UnknownEnd` or `Refused`.
        """
        body = SendMessageBatch.model_construct(messages=list(sends)).model_dump_json(exclude_none=True)
        try:
            status, reply = await self._post(body.encode())
        except NothingAccepted:
            raise
        except (
            Exception
        ) as error:  # what an in-process command-api raises included: its log may have taken it
            raise UnknownEnd from error
        if status in _NOT_KNOWN_THERE:
            # No fault of the gateways, and over as soon as the services have the same secret again.
            logger.error("command-api does not accept this node's token", status=status)
        if status in (_UNAVAILABLE, *_NOT_KNOWN_THERE):
            raise NothingAccepted
        if status >= 500:
            raise UnknownEnd
        try:
            if status != _OK:
                raise Refused(_FAILURE.validate_json(reply)["message"])
            items = _ANSWER.validate_json(reply)["data"]
        except ValidationError as error:
            raise UnknownEnd from error
        return _receipts(items, len(sends))


def _receipts(items: list[SendReceipt | Failure], count: int) -> Receipts:
    if len(items) != count:
        raise UnknownEnd
    codes = {0 if "messageId" in item else item["code"] for item in items}
    if codes == {ErrorCode.UNAVAILABLE}:
        raise NothingAccepted
    if codes == {ErrorCode.INTERNAL}:
        raise UnknownEnd
    return [item if "messageId" in item else item["message"] for item in items]
