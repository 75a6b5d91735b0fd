"""What is answered where no route is: never a redirect, and to a WebSocket the same as to a call."""

from fastapi import FastAPI
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from starlette.types import Receive, Scope, Send

from imc_service import replies

MAY_END_IN_A_SLASH = ("/chat/", "/notice/")
"""Paths of the Java version, which takes them with a slash at the end too; see `docs/api.md`."""


def install(app: FastAPI) -> None:
    """Let ``app`` answer by itself where starlette would redirect, or hang up on a WebSocket with 403."""
    router = app.router
    router.redirect_slashes = False

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        shorter = _without_slash(scope)
        if shorter is None:
            await replies.refusal(Refused(ErrorCode.PATH_NOT_FOUND, "no such path"))(scope, receive, send)
            return
        await router.app(shorter, receive, send)
        if "route" in shorter:
            scope["route"] = shorter["route"]  # for those who count requests by it

    router.default = answer


def _without_slash(scope: Scope) -> Scope | None:
    """The same call without the slash at its end, if there is one that may be left out, and not escaped."""
    path, raw_path = scope["path"], scope.get("raw_path") or b""
    is_one = raw_path.endswith(b"/") and not raw_path.endswith(b"//")
    if scope["type"] != "http" or not is_one or not path.startswith(MAY_END_IN_A_SLASH):
        return None
    return {**scope, "path": path[:-1], "raw_path": raw_path[:-1]}
