"""What push-nodes ask if the cursor of a gateway is older than the log. Only services may ask it."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from imc_contracts.cursor import EntryId
from imc_contracts.fields import MAX_LIMIT, Limit
from imc_contracts.log_changes import PATH
from imc_contracts.scopes import Scope
from imc_service.http import replies
from pydantic import PlainValidator

from imc_query_api.http.parameters import Parameters, read
from imc_query_api.http.state import query_api

_EntryId = Annotated[EntryId, PlainValidator(EntryId.parse)]


class Between(Parameters):
    """A page of the changes between two entries of a log."""

    after: _EntryId
    before: _EntryId
    notices: bool = False
    erasures: bool = False
    """A push-node of a release without erasures can't read them, and does not ask for them."""
    limit: Limit = MAX_LIMIT


def routes() -> APIRouter:
    """The call of `imc_contracts.log_changes`."""
    router = APIRouter(include_in_schema=False)

    @router.get(PATH)
    async def changes(request: Request) -> Response:
        asked = read(request, Between, scope=Scope.INTERNAL)
        log_changes = query_api(request).log_changes
        return replies.success(
            await log_changes.page(
                asked.app_id,
                asked.after,
                asked.before,
                asked.limit,
                with_notices=asked.notices,
                with_erasures=asked.erasures,
            )
        )

    return router
