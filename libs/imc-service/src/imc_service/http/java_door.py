"""The paths of the Java version, which IMC answers beside its own under ``/v1``.

Clients of these paths know one code of a failure, and may write a slash at the end of a path.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

PREFIXES = ("/chat/", "/notice/")
"""How the paths of the Java door begin."""


def has_path(path: str) -> bool:
    """Whether ``path`` belongs to the Java door."""
    return path.startswith(PREFIXES)


def without_slash(path: str, raw_path: bytes) -> tuple[str, bytes]:
    """A path and its raw form without the slash at their end, if they belong to the Java door.

    A slash that is escaped (``%2F``) or repeated stays: it is part of an id, or of a path that nobody has.
    """
    is_one = raw_path.endswith(b"/") and not raw_path.endswith(b"//")
    if is_one and has_path(path) and path not in PREFIXES:
        return path[:-1], raw_path[:-1]
    return path, raw_path


class JavaPaths:
    """ASGI middleware, to be the outermost: the other parts never see the slash at the end of a path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on under the path that it means."""
        if scope["type"] != "lifespan" and scope["path"].endswith("/"):
            # In place, since the server reads the route from this scope at the end.
            scope["path"], scope["raw_path"] = without_slash(scope["path"], scope.get("raw_path") or b"")
        await self._app(scope, receive, send)
