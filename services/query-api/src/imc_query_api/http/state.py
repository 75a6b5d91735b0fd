"""What the calls of query-api work with."""

from dataclasses import dataclass
from typing import cast

from fastapi import Request

from imc_query_api.queries.groups import Groups
from imc_query_api.queries.log_changes import LogChanges
from imc_query_api.queries.messages import Messages
from imc_query_api.queries.notices import Notices


@dataclass(frozen=True, slots=True)
class QueryApi:
    """The queries, by what they list."""

    messages: Messages
    groups: Groups
    notices: Notices
    log_changes: LogChanges


def query_api(request: Request) -> QueryApi:
    """What the lifespan of the application opened."""
    return cast(QueryApi, request.scope["state"]["query_api"])
