"""The minimum cost of a reply: an ASGI application that reads the body and sends a fixed reply."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]

BODY = (
    b'{"success":true,"code":0,"message":"success","data":{"messageId":"1000000000000000000",'
    b'"createTime":1795433646112,"cursor":"0123456789ab.1795433646112-0","duplicate":false}}'
)
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))],
}
_BODY = {"type": "http.response.body", "body": BODY}


async def application(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Reply when the whole body has arrived."""
    assert scope["type"] == "http"
    while (await receive()).get("more_body", False):
        pass
    await send(_START)
    await send(_BODY)
