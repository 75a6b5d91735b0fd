"""The client of command-api.

A call can fail in three ways, told apart by what may be done next:

- `NothingAccepted`: nothing is in the log. Every message may be sent again.
- `UnknownEnd`: the messages may be in the log. Only those with a ``clientMessageId`` may be sent again.
- `Refused`: the same call will be refused again.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, NamedTuple

from imc_contracts.codes import ErrorCode
from imc_contracts.commands import SendMessage, SendMessageBatch
from imc_contracts.envelope import Envelope, Failure
from imc_contracts.errors import Refused
from imc_contracts.views import SendReceipt
from imc_service import current_call
from imc_service.logs import get_logger
from pydantic import Field, TypeAdapter, ValidationError

logger = get_logger("command-api-client")

PATH = "/v1/commands/send-messages"


class Reply(NamedTuple):
    """An HTTP reply; ``retry_after`` is its header of that name, in seconds."""

    status: int
    body: bytes
    retry_after: int | None


Post = Callable[[bytes, Mapping[str, str]], Awaitable[Reply]]
"""Posts a body to `PATH`, with headers beside those of every call.

Raises `NothingAccepted` if the request was not sent, and any other exception if that is not known.
"""

Outcomes = list[SendReceipt | Refused]
"""For each message its receipt, or why it was refused."""

TOLD_TO_GATEWAYS = frozenset(
    {
        ErrorCode.INVALID_FIELD,
        ErrorCode.FORBIDDEN,
        ErrorCode.CLIENT_MESSAGE_ID_REUSED,
        ErrorCode.QUOTA_USED_UP,
        ErrorCode.INTERNAL,
        ErrorCode.UNAVAILABLE,
    }
)
"""The errors that a gateway's frame can have. Any other is a fault of the call, which is this node's."""

_OK, _UNAVAILABLE = 200, 503
_TOKEN_REFUSED = (401, 403)
# From left to right: nearly all items are receipts. Otherwise each would be compared with both types.
_Item = Annotated[SendReceipt | Failure, Field(union_mode="left_to_right")]
_ANSWER: TypeAdapter[Envelope[list[SendReceipt | Failure]]] = TypeAdapter(Envelope[list[_Item]])
_FAILURE: TypeAdapter[Failure] = TypeAdapter(Failure)


class NothingAccepted(Exception):
    """The call did not arrive, or was refused as a whole. ``retry_after`` is in seconds, if it is known."""

    def __init__(self, retry_after: int | None = None) -> None:
        super().__init__()
        self.retry_after = retry_after


class UnknownEnd(Exception):
    """There was no answer, or none that can be read."""


class CommandApiClient:
    """Calls command-api through ``post``."""

    def __init__(self, post: Post) -> None:
        self._post = post

    async def send(self, messages: Sequence[SendMessage], trace: str | None = None) -> Outcomes:
        """Send at most 500 messages; returns what became of each, in their order.

        ``trace`` is the context of their trace, if they are traced.
        Raises `NothingAccepted`, `UnknownEnd` or `Refused`.
        """
        body = SendMessageBatch.model_construct(messages=list(messages)).model_dump_json(exclude_none=True)
        headers = current_call.headers()
        request_id = headers[current_call.NAME]
        if trace is not None:
            headers["traceparent"] = trace
        try:
            status, answer, retry_after = await self._post(body.encode(), headers)
        except NothingAccepted:
            raise
        except Exception as error:  # also raised by a command-api in this process, whose log may have it
            raise UnknownEnd from error
        if status in _TOKEN_REFUSED:
            # Not the gateways' fault. It ends as soon as the services have the same secret again.
            logger.error("command-api does not accept this node's token", status=status, requestId=request_id)
        if status in (_UNAVAILABLE, *_TOKEN_REFUSED):
            raise NothingAccepted(retry_after)
        if status >= 500:
            logger.warning("command-api failed", status=status, requestId=request_id)
            raise UnknownEnd
        try:
            if status != _OK:
                raise _refused(_FAILURE.validate_json(answer), retry_after)
            items = _ANSWER.validate_json(answer)["data"]
        except ValidationError as error:
            raise UnknownEnd from error
        return _outcomes(items, len(messages), retry_after)


def _outcomes(items: list[SendReceipt | Failure], count: int, retry_after: int | None) -> Outcomes:
    if len(items) != count:
        raise UnknownEnd
    codes = {0 if "messageId" in item else item["code"] for item in items}
    if codes == {ErrorCode.UNAVAILABLE}:
        raise NothingAccepted(retry_after)
    if codes == {ErrorCode.INTERNAL}:
        raise UnknownEnd
    return [item if "messageId" in item else _refused(item, retry_after) for item in items]


def _refused(failure: Failure, retry_after: int | None) -> Refused:
    number = failure["code"]
    code = ErrorCode(number) if number in TOLD_TO_GATEWAYS else ErrorCode.INTERNAL
    is_passing = code in (ErrorCode.QUOTA_USED_UP, ErrorCode.UNAVAILABLE)
    return Refused(code, failure["message"], retry_after=retry_after if is_passing else None)
