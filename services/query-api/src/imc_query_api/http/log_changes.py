"""What push-nodes ask when a gateway's cursor is older than the log. Between services, not for clients."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from imc_contracts.cursor import EntryId
from imc_contracts.fields import MAX_PAGE_SIZE, PageSize
from imc_contracts.log_changes import PATH
from imc_contracts.scopes import Scope
from imc_service.http import replies
from pydantic import PlainValidator

from imc_query_api.http.parameters import Parameters, read
from imc_query_api.http.state import query_api

_Place = Annotated[EntryId, PlainValidator(EntryId.parse)]


class Between(Parameters):
    """A page of what lies between two places of a log."""

    after: _Place
    before: _Place
    notices: bool = False
    limit: PageSize = MAX_PAGE_SIZE


def routes() -> APIRouter:
    """The call of `imc_contracts.log_changes`."""
    router = APIRouter(include_in_schema=False)

    @router.get(PATH)
    async def changes(request: Request) -> Response:
        asked = read(request, Between, Scope.INTERNAL)
        log_changes = query_api(request).log_changes
        return replies.success(
            await log_changes.page(
                asked.app_id, asked.after, asked.before, asked.limit, with_notices=asked.notices
            )
        )

    return router
