"""``/v1/commands``: publish-notice, delete-notice."""

from fastapi import APIRouter, Request, Response
from imc_contracts.commands import DeleteNotice, PublishNotice
from imc_contracts.envelope import Envelope
from imc_contracts.scopes import Scope
from imc_contracts.validation import parse_json
from imc_contracts.views import Notice, NoticeReceipt
from imc_service.auth.middleware import granted
from imc_service.http import replies
from imc_service.http.openapi import COMMAND, json_body, v1_replies

from imc_command_api.http.state import command_api
from imc_command_api.http.v1.messages import CLIENT_MESSAGE_ID_REUSED

_NOT_DELETED = {404: "40402: there is no such notice.", 409: "40903: it is already deleted."}


def routes() -> APIRouter:
    """The calls about notices."""
    router = APIRouter(prefix="/v1/commands")

    @router.post(
        "/publish-notice",
        response_model=Envelope[NoticeReceipt],
        responses=v1_replies({**COMMAND, 409: CLIENT_MESSAGE_ID_REUSED}),
        openapi_extra=json_body(PublishNotice),
    )
    async def publish_notice(request: Request) -> Response:
        """Publish a notice in a group."""
        api, grant = command_api(request), granted(request.scope, Scope.NOTICE)
        command = parse_json(PublishNotice, await api.read_single(request))
        grant.require(Scope.NOTICE, command.app_id)
        return replies.success(await api.publish_notice(command))

    @router.post(
        "/delete-notice",
        response_model=Envelope[Notice],
        responses=v1_replies({**COMMAND, **_NOT_DELETED}),
        openapi_extra=json_body(DeleteNotice),
    )
    async def delete_notice(request: Request) -> Response:
        """Delete a notice."""
        api, grant = command_api(request), granted(request.scope, Scope.NOTICE)
        command = parse_json(DeleteNotice, await api.read_single(request))
        grant.require(Scope.NOTICE, command.app_id)
        apps = frozenset({command.app_id})
        return replies.success(await api.delete_notice(command.information_id, apps))

    return router
