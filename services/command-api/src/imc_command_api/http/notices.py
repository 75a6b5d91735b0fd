"""``/v1/commands``: publish-notice, delete-notice."""

from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from imc_contracts.commands import DeleteNotice, PublishNotice
from imc_contracts.envelope import Envelope
from imc_contracts.scopes import Scope
from imc_contracts.validation import parse_fields, parse_json
from imc_contracts.views import Notice, NoticeReceipt
from imc_service.auth.middleware import granted
from imc_service.http import replies
from imc_service.http.bodies import media_type_of, read_body
from imc_service.http.openapi import REFUSALS, json_body
from imc_service.http1.targets import check_form

from imc_command_api.http.state import CommandApi, command_api

FORM = "application/x-www-form-urlencoded"


def routes() -> APIRouter:
    """The calls about notices."""
    router = APIRouter(prefix="/v1/commands", tags=["notices"], responses=REFUSALS)

    @router.post(
        "/publish-notice", response_model=Envelope[NoticeReceipt], openapi_extra=json_body(PublishNotice)
    )
    async def create(request: Request) -> Response:
        """Pin a notice to a group."""
        api, grant = command_api(request), granted(request.scope, Scope.NOTICE)
        command = parse_json(PublishNotice, await api.read_single(request))
        grant.require(Scope.NOTICE, command.app_id)
        return replies.success(await api.publish_notice(command))

    @router.post("/delete-notice", response_model=Envelope[Notice], openapi_extra=_DELETE)
    async def delete(request: Request) -> Response:
        """Take a notice down. The fields come as JSON, as a form, or as query parameters."""
        api, grant = command_api(request), granted(request.scope, Scope.NOTICE)
        command = await _read_delete(request, api)
        apps = grant.among(Scope.NOTICE, command.app_id)
        return replies.success(await api.delete_notice(command, apps))

    return router


_DELETE: dict[str, Any] = {
    **json_body(DeleteNotice, FORM, required=False),
    "parameters": [
        {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}
        for name in ("informationId", "appId")
    ],
}


async def _read_delete(request: Request, api: CommandApi) -> DeleteNotice:
    if media_type_of(request) == FORM:
        form = check_form(await read_body(request, api.max_single_body_bytes, api.body_room))
        return parse_fields(DeleteNotice, {**request.query_params, **dict(parse_qsl(form))})
    body = await api.read_single(request)
    return parse_json(DeleteNotice, body) if body else parse_fields(DeleteNotice, dict(request.query_params))
