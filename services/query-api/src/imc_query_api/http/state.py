"""What the calls of the query side work with."""

from dataclasses import dataclass
from typing import cast

from fastapi import Request

from imc_query_api.queries.group_history import GroupHistory
from imc_query_api.queries.groups import Groups
from imc_query_api.queries.log_changes import LogChanges
from imc_query_api.queries.neighbours import Neighbours
from imc_query_api.queries.notices import Notices
from imc_query_api.queries.user_history import UserHistory


@dataclass(frozen=True, slots=True)
class QueryApi:
    """The questions that can be asked."""

    group_history: GroupHistory
    user_history: UserHistory
    neighbours: Neighbours
    groups: Groups
    notices: Notices
    log_changes: LogChanges


def query_api(request: Request) -> QueryApi:
    """What the lifespan of the application opened."""
    return cast(QueryApi, request.scope["state"]["query_api"])
