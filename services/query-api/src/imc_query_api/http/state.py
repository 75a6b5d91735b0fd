"""What the calls of query-api work with."""

from dataclasses import dataclass
from typing import cast

from fastapi import Request

from imc_query_api.freshness.reads import Reads
from imc_query_api.queries.log_changes import LogChanges


@dataclass(frozen=True, slots=True)
class QueryApi:
    """The queries of clients, and those of push-nodes."""

    reads: Reads
    log_changes: LogChanges


def query_api(request: Request) -> QueryApi:
    """What the lifespan of the application opened."""
    return cast(QueryApi, request.scope["state"]["query_api"])
