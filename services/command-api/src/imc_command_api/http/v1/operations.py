"""``/v1/apps`` and ``/v1/installation``: what operators see of the installation."""

from fastapi import APIRouter, Request, Response
from imc_contracts.envelope import Envelope
from imc_contracts.fields import DEFAULT_LIMIT, MAX_MINUTES, RULES, AppId, Limit, Minutes
from imc_contracts.operator_views import Activity, AppPage, Installation
from imc_contracts.scopes import Scope
from imc_service.auth.middleware import grant_in
from imc_service.http import replies
from imc_service.http.openapi import ANY_CALL, v1_replies
from imc_service.http.page_marks import AFTER_RULE, After, foreign_mark, page_data
from imc_service.http.parameters import Parameters, described, read_query
from pydantic import Field

from imc_command_api.http.state import command_api
from imc_command_api.http.v1.reading import reading
from imc_command_api.operations.apps import Order, Place

_RULES = {**RULES, "after": AFTER_RULE}
_END = "\0"


class PageOfApps(Parameters):
    """Which apps to list."""

    order: Order = "noisiest"
    after: After | None = Field(None, description="The `next` of the page before.")
    limit: Limit = DEFAULT_LIMIT


class LastMinutes(Parameters):
    """How many minutes to list, and of which app."""

    minutes: Minutes = MAX_MINUTES
    app_id: AppId | None = Field(None, description="Only what this app did.")


def routes() -> APIRouter:
    """The calls of operators about the installation."""
    router = APIRouter(responses=v1_replies(ANY_CALL))

    @router.get("/v1/apps", response_model=Envelope[AppPage], openapi_extra=described(PageOfApps, _RULES))
    async def apps(request: Request) -> Response:
        """The apps that have a log, with what they do and use.

        The order by noise changes while it is read: an app may be on two pages, or on none.
        """
        asked = read_query(request, PageOfApps, _RULES)
        among = grant_in(request.scope).among(Scope.OPERATE, None)
        after = _place(asked.after)
        with reading():
            page = await command_api(request).operations.apps.page(among, asked.order, after, asked.limit)
        position = None if page.next is None else f"{page.next[0]}{_END}{page.next[1]}".encode()
        return replies.success(page_data("apps", page.items, position))

    @router.get(
        "/v1/installation/activity",
        response_model=Envelope[Activity],
        openapi_extra=described(LastMinutes, _RULES),
    )
    async def activity(request: Request) -> Response:
        """What happened in the last minutes, the oldest first.

        Without `appId` in all apps together, for which the token must cover all apps.
        """
        asked = read_query(request, LastMinutes, _RULES)
        grant, reader = grant_in(request.scope), command_api(request).operations.activity
        if asked.app_id is None:
            grant.require_for_all_apps(Scope.OPERATE)
        else:
            grant.require(Scope.OPERATE, asked.app_id)
        with reading():
            if asked.app_id is None:
                minutes = await reader.minutes(asked.minutes)
            else:
                minutes = await reader.minutes_of(asked.app_id, asked.minutes)
        return replies.success({"minutes": minutes})

    @router.get("/v1/installation", response_model=Envelope[Installation])
    async def installation(request: Request) -> Response:
        """The processes that were seen within the last minute, Redis, and the database.

        The token must cover all apps.
        """
        grant_in(request.scope).require_for_all_apps(Scope.OPERATE)
        with reading():
            found = await command_api(request).operations.installation.read()
        return replies.success(found)

    return router


def _place(mark: bytes | None) -> Place | None:
    if mark is None:
        return None
    try:
        number, _, app_id = mark.decode().partition(_END)
        return int(number), app_id
    except ValueError:
        raise foreign_mark() from None
