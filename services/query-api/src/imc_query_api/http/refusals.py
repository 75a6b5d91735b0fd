"""What the queries may answer besides success, for their descriptions."""

from typing import Any

from imc_service.http.openapi import REFUSALS

ANY_QUERY: dict[int | str, dict[str, Any]] = {
    status: REFUSALS[status] for status in (400, 401, 403, 500, 503)
}
"""Every query."""

BESIDE_MESSAGE: dict[int | str, dict[str, Any]] = {404: REFUSALS[404]}
"""Those that start from a message, too."""
