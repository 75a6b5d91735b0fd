"""``/chat/message``: create, recall."""

from fastapi import APIRouter, Request, Response
from imc_contracts.envelope import Envelope, JavaAnswer
from imc_contracts.java_door.commands import RecallMessage, SendMessage
from imc_contracts.scopes import Scope
from imc_service.auth.audit import MESSAGE_RECALLED, audit
from imc_service.auth.middleware import granted
from imc_service.http import replies
from imc_service.http.openapi import COMMAND, java_replies, json_body

from imc_command_api.http.java_door.requests import read_command
from imc_command_api.http.state import command_api

_NOT_RECALLED = "there is no such message, it is already recalled, or the recall window has passed"


def routes() -> APIRouter:
    """The calls about messages."""
    router = APIRouter(prefix="/chat/message")

    @router.post(
        "/create",
        response_model=Envelope[str],
        responses=java_replies(COMMAND),
        openapi_extra=json_body(SendMessage),
    )
    async def create_message(request: Request) -> Response:
        """Send one message. It is acknowledged with its messageId once it is in the app's log."""
        api, grant = command_api(request), granted(request.scope, Scope.SEND)
        command = await read_command(request, SendMessage)
        grant.require(Scope.SEND, command.app_id)
        return replies.success((await api.send_messages.one(command))["messageId"])

    @router.post(
        "/recall",
        response_model=JavaAnswer[str],
        responses=java_replies(COMMAND, business=_NOT_RECALLED),
        openapi_extra=json_body(RecallMessage),
    )
    async def recall_message(request: Request) -> Response:
        """Take a message back, within the recall window. It may be of any app that the token covers."""
        api, grant = command_api(request), granted(request.scope, Scope.RECALL)
        command = await read_command(request, RecallMessage)
        recalled = await api.recall_message(command.message_id, command.recall_cause, grant.apps)
        audit(request.scope, MESSAGE_RECALLED, recalled["appId"], messageId=recalled["messageId"])
        return replies.success(recalled["messageId"])

    return router
