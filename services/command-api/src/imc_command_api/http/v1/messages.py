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
from imc_service.auth.grant import Grant
from imc_service.auth.middleware import granted
from imc_service.http import replies
from imc_service.http.openapi import REFUSALS, json_body
from pydantic import BaseModel, Field

from imc_command_api.http.state import command_api


class _UnreadBatch(BaseModel):
    """A batch whose messages are not validated."""

    messages: list[Any] = Field(min_length=1, max_length=MAX_BATCH)


def routes() -> APIRouter:
    """The calls about messages."""
    router = APIRouter(prefix="/v1/commands", tags=["messages"], responses=REFUSALS)

    @router.post("/send-message", response_model=Envelope[SendReceipt], openapi_extra=json_body(SendMessage))
    async def send_message(request: Request) -> Response:
        """Send one message. It is acknowledged once it is in the app's log."""
        api, grant = command_api(request), granted(request.scope, Scope.SEND)
        command = parse_json(SendMessage, await api.read_single(request))
        grant.require(Scope.SEND, command.app_id)
        return replies.success(await api.send_messages.one(command))

    @router.post(
        "/send-messages",
        response_model=Envelope[list[SendReceipt | Failure]],
        openapi_extra=json_body(SendMessageBatch),
    )
    async def send_messages(request: Request) -> Response:
        """Send up to 500 messages, of one app or of several; each is accepted or refused on its own."""
        api, grant = command_api(request), granted(request.scope, Scope.SEND)
        body = await api.read_batch(request)
        commands = _allowed(parse_batch(body), grant)
        await api.body_room.turn(len(body))
        answers = await api.send_messages.batch(commands)
        return replies.success(
            [envelope.failure_of(answer) if isinstance(answer, Refused) else answer for answer in answers]
        )

    @router.post("/recall-message", response_model=Envelope[Message], openapi_extra=json_body(RecallMessage))
    async def recall_message(request: Request) -> Response:
        """Take a message back, within the recall window."""
        api, grant = command_api(request), granted(request.scope, Scope.RECALL)
        command = parse_json(RecallMessage, await api.read_single(request))
        grant.require(Scope.RECALL, command.app_id)
        apps = frozenset({command.app_id})
        return replies.success(await api.recall_message(command.message_id, command.recall_cause, apps))

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
        return [_parse_item(item, place) for place, item in enumerate(items)]


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


def _parse_item(item: Any, place: int) -> SendMessage | Refused:
    try:
        return parse_fields(SendMessage, item, "messages", place)
    except Refused as refused:
        return refused
