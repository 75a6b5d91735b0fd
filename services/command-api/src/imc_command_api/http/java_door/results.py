"""Replies to commands that the Java version may refuse with status 200."""

from collections.abc import Awaitable
from typing import Any

from fastapi import Response
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_service.http import replies

_BUSINESS = {
    ErrorCode.MESSAGE_NOT_FOUND,
    ErrorCode.NOTICE_NOT_FOUND,
    ErrorCode.ALREADY_RECALLED,
    ErrorCode.RECALL_WINDOW_PASSED,
    ErrorCode.NOTICE_ALREADY_DELETED,
}
"""Why the Java version refuses what is well formed: its clients throw at any status but 200."""


async def id_or_refusal(command: Awaitable[Any], id_field: str) -> Response:
    """Answer with the id in the view that ``command`` returns, or with its refusal for reasons of business.

    Raises `Refused` for any other reason.
    """
    try:
        view = await command
    except Refused as refused:
        if refused.code not in _BUSINESS:
            raise
        return replies.java_refusal(refused, business=True)
    return replies.success(view[id_field])
