"""``/v1/commands``: send-message, send-messages, recall-message."""

from typing import Any

from fastapi import APIRouter, Request, Response
from imc_contracts import envelope
from imc_contracts.commands import RecallMessage, SendMessage, SendMessageBatch
from imc_contracts.envelope import Envelope, Failure
from imc_contracts.errors import Refused
from imc_contracts.fields import MAX_BATCH
from imc_contracts.scopes import Scope
from imc_contracts.validation import parse_fields, parse_json
from imc_contracts.views import Message, SendReceipt
from imc_service.auth.audit import MESSAGE_RECALLED, audit
from imc_service.auth.grant import Grant
from imc_service.auth.middleware import granted
from imc_service.http import replies
from imc_service.http.openapi import (
    COMMAND,
    COMMAND_WITHOUT_QUOTA,
    RETRY_AFTER,
    Replies,
    json_body,
    v1_replies,
)
from pydantic import BaseModel, Field

from imc_command_api.http.state import command_api

CLIENT_MESSAGE_ID_REUSED = "40904: the same `clientMessageId` was sent with another payload."
_NOT_RECALLED = {
    404: "40401: there is no such message.",
    409: "40901: it is already recalled. 40902: the recall window has passed.",
}
_BATCH: Replies = v1_replies(COMMAND_WITHOUT_QUOTA)
_BATCH_REPLIES: Replies = {
    **_BATCH,
    200: {
        "description": "Each message was accepted, or refused alone. "
        "`Retry-After` says when to retry what was refused for a time.",
        "headers": RETRY_AFTER,
    },
}


class _UnreadBatch(BaseModel):
    """A batch whose messages are not validated."""

    messages: list[Any] = Field(min_length=1, max_length=MAX_BATCH)


def routes() -> APIRouter:
    """The calls about messages."""
    router = APIRouter(prefix="/v1/commands")

    @router.post(
        "/send-message",
        response_model=Envelope[SendReceipt],
        responses=v1_replies({**COMMAND, 409: CLIENT_MESSAGE_ID_REUSED}),
        openapi_extra=json_body(SendMessage),
    )
    async def send_message(request: Request) -> Response:
        """Send one message. It is acknowledged once it is in the app's log."""
        api, grant = command_api(request), granted(request.scope, Scope.SEND)
        command = parse_json(SendMessage, await api.read_single(request))
        grant.require(Scope.SEND, command.app_id)
        return replies.success(await api.send_messages.one(command))

    @router.post(
        "/send-messages",
        response_model=Envelope[list[SendReceipt | Failure]],
        responses=_BATCH_REPLIES,
        openapi_extra=json_body(SendMessageBatch),
    )
    async def send_messages(request: Request) -> Response:
        """Send up to 500 messages, of one app or of several; each is accepted or refused on its own."""
        api, grant = command_api(request), granted(request.scope, Scope.SEND)
        body = await api.read_batch(request)
        commands = _allowed(parse_batch(body), grant)
        await api.body_room.turn(len(body))
        return _batch_reply(await api.send_messages.batch(commands))

    @router.post(
        "/recall-message",
        response_model=Envelope[Message],
        responses=v1_replies({**COMMAND, **_NOT_RECALLED}),
        openapi_extra=json_body(RecallMessage),
    )
    async def recall_message(request: Request) -> Response:
        """Take a message back, within the recall window."""
        api, grant = command_api(request), granted(request.scope, Scope.RECALL)
        command = parse_json(RecallMessage, await api.read_single(request))
        grant.require(Scope.RECALL, command.app_id)
        apps = frozenset({command.app_id})
        recalled = await api.recall_message(command.message_id, command.recall_cause, apps)
        audit(request.scope, MESSAGE_RECALLED, command.app_id, messageId=recalled["messageId"])
        return replies.success(recalled)

    return router


def parse_batch(body: bytes) -> list[SendMessage | Refused]:
    """The messages of a batch; a message that breaks a rule is replaced by its refusal.

    Raises `Refused` if the body is no batch: no JSON, no list, an empty list or a list that is too long.
    """
    try:
        return list(parse_json(SendMessageBatch, body).messages)
    except Refused:
        # A message is at fault, or the whole batch. Reading it again message by message is slow, but tells.
        items = parse_json(_UnreadBatch, body).messages
        return [_parse_item(item, index) for index, item in enumerate(items)]


def _batch_reply(answers: list[SendReceipt | Refused]) -> Response:
    """The reply to a batch. Its ``Retry-After`` is the largest of the refused messages."""
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    reply = replies.success(
        [envelope.failure_of(answer) if isinstance(answer, Refused) else answer for answer in answers]
    )
    if pauses := [each.retry_after for each in refused if each.retry_after is not None]:
        reply.headers["Retry-After"] = str(max(pauses))
    return reply


def _allowed(commands: list[SendMessage | Refused], grant: Grant) -> list[SendMessage | Refused]:
    """``commands``, with a refusal in place of each message whose app the grant does not cover."""
    if grant.apps is None:
        return commands
    return [command if isinstance(command, Refused) else _if_allowed(command, grant) for command in commands]


def _if_allowed(command: SendMessage, grant: Grant) -> SendMessage | Refused:
    try:
        grant.require(Scope.SEND, command.app_id)
    except Refused as refused:
        return refused
    return command


def _parse_item(item: Any, index: int) -> SendMessage | Refused:
    try:
        return parse_fields(SendMessage, item, "messages", index)
    except Refused as refused:
        return refused
