"""``/v1/commands/erase-…`` and ``/v1/erasures``: what operators have erased, and how far that is."""

from fastapi import APIRouter, Request, Response
from imc_contracts.commands import EraseApp, EraseGroup, EraseUser
from imc_contracts.envelope import Envelope
from imc_contracts.fields import DEFAULT_LIMIT, RULES, AppId, Id, Limit
from imc_contracts.operator_views import ErasureAccepted, ErasurePage
from imc_contracts.scopes import Scope
from imc_contracts.validation import parse_json
from imc_service.auth.audit import APP_ERASED, GROUP_ERASED, USER_ERASED, audit
from imc_service.auth.middleware import grant_in, granted
from imc_service.http import replies
from imc_service.http.openapi import ANY_CALL, COMMAND_WITHOUT_QUOTA, json_body, v1_replies
from imc_service.http.page_marks import AFTER_RULE, After, foreign_mark, page_data
from imc_service.http.parameters import Parameters, described, read_query
from pydantic import Field

from imc_command_api.http.state import command_api

_Erase = EraseUser | EraseGroup | EraseApp

_RULES = {**RULES, "after": AFTER_RULE}
_ERASING = v1_replies(COMMAND_WITHOUT_QUOTA)


class PageOfErasures(Parameters):
    """Which erasures to list."""

    app_id: AppId
    erasure_id: Id | None = Field(None, description="Only this one.")
    after: After | None = Field(None, description="The `next` of the page before.")
    limit: Limit = DEFAULT_LIMIT


def routes() -> APIRouter:
    """The calls of operators about erasures."""
    router = APIRouter()

    @router.post(
        "/v1/commands/erase-user",
        response_model=Envelope[ErasureAccepted],
        responses=_ERASING,
        openapi_extra=json_body(EraseUser),
    )
    async def erase_user(request: Request) -> Response:
        """Erase all that a user has written until now. `GET /v1/erasures` tells when it is done."""
        return await _erase(request, EraseUser, USER_ERASED)

    @router.post(
        "/v1/commands/erase-group",
        response_model=Envelope[ErasureAccepted],
        responses=_ERASING,
        openapi_extra=json_body(EraseGroup),
    )
    async def erase_group(request: Request) -> Response:
        """Erase all that was written in a group until now, as `erase-user`."""
        return await _erase(request, EraseGroup, GROUP_ERASED)

    @router.post(
        "/v1/commands/erase-app",
        response_model=Envelope[ErasureAccepted],
        responses=_ERASING,
        openapi_extra=json_body(EraseApp),
    )
    async def erase_app(request: Request) -> Response:
        """Erase all that was written in an app until now, as `erase-user`. The app itself goes on."""
        return await _erase(request, EraseApp, APP_ERASED)

    @router.get(
        "/v1/erasures",
        response_model=Envelope[ErasurePage],
        responses=v1_replies(ANY_CALL),
        openapi_extra=described(PageOfErasures, _RULES),
    )
    async def erasures(request: Request) -> Response:
        """The erasures of an app, the newest first: how far each is, and what it has removed.

        An erasure is listed once the projector has come to it, which takes a moment.
        """
        asked = read_query(request, PageOfErasures, _RULES)
        grant_in(request.scope).require(Scope.OPERATE, asked.app_id)
        page = await command_api(request).operations.erasures.page(
            asked.app_id, asked.erasure_id, _place(asked.after), asked.limit
        )
        position = None if page.next is None else str(page.next).encode()
        return replies.success(page_data("erasures", page.items, position))

    return router


async def _erase(request: Request, kind: type[_Erase], event: str) -> Response:
    api, grant = command_api(request), granted(request.scope, Scope.OPERATE)
    command = parse_json(kind, await api.read_single(request))
    grant.require(Scope.OPERATE, command.app_id)
    # Beside the app, a command names the user or the group; one that does not is about the whole app.
    accepted = await api.erase(command.app_id, **command.model_dump(exclude={"app_id"}, by_alias=False))
    about = command.model_dump(exclude={"app_id"})
    audit(request.scope, event, command.app_id, **about, erasureId=accepted["erasureId"])
    return replies.success(accepted)


def _place(mark: bytes | None) -> int | None:
    if mark is None:
        return None
    text = mark.decode("ascii", "replace")
    if not (text.isdecimal() and len(text) <= 19):
        raise foreign_mark()
    return int(text)
