"""``/notice/information``: create, delete."""

from typing import Any

from fastapi import APIRouter, Request, Response
from imc_contracts.envelope import Envelope, JavaAnswer
from imc_contracts.field_guide import EXAMPLES
from imc_contracts.java_door.commands import DeleteNotice, PublishNotice
from imc_contracts.scopes import Scope
from imc_service.auth.middleware import granted
from imc_service.http import replies
from imc_service.http.openapi import COMMAND, field_description, java_replies, json_body

from imc_command_api.http.java_door.requests import FORM, read_any_command, read_command
from imc_command_api.http.state import command_api

_DELETE: dict[str, Any] = {
    **json_body(DeleteNotice, FORM, required=False),
    "parameters": [
        {
            "name": "informationId",
            "in": "query",
            "required": False,
            "allowEmptyValue": True,
            "description": field_description("informationId"),
            "example": EXAMPLES["informationId"],
            "schema": {"type": "string"},
        },
    ],
}
_NOT_DELETED = "there is no such notice, or it is already deleted"


def routes() -> APIRouter:
    """The calls about notices."""
    router = APIRouter(prefix="/notice/information")

    @router.post(
        "/create",
        response_model=Envelope[str],
        responses=java_replies(COMMAND),
        openapi_extra=json_body(PublishNotice),
    )
    async def create_information(request: Request) -> Response:
        """Publish a notice in a group. It is acknowledged with its informationId."""
        api, grant = command_api(request), granted(request.scope, Scope.NOTICE)
        command = await read_command(request, PublishNotice)
        grant.require(Scope.NOTICE, command.app_id)
        return replies.success((await api.publish_notice(command))["informationId"])

    @router.post(
        "/delete",
        response_model=JavaAnswer[str],
        responses=java_replies(COMMAND, business=_NOT_DELETED),
        openapi_extra=_DELETE,
    )
    async def delete_information(request: Request) -> Response:
        """Delete a notice. Its informationId comes as JSON, as a form, or in the query."""
        api, grant = command_api(request), granted(request.scope, Scope.NOTICE)
        command = await read_any_command(request, DeleteNotice)
        deleted = await api.delete_notice(command.information_id, grant.apps)
        return replies.success(deleted["informationId"])

    return router
