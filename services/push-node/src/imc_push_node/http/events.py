"""The events of an app for backends over HTTP: a page, a page to wait for, or an event stream."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from imc_contracts.codes import CloseCode, ErrorCode
from imc_contracts.cursor import Cursor
from imc_contracts.envelope import Envelope, encode
from imc_contracts.errors import Refused, unavailable
from imc_contracts.fields import DEFAULT_LIMIT, INT32, RULES, Limit, MinCursor, Whole
from imc_contracts.scopes import Scope
from imc_contracts.views import EventPage as EventPageView
from imc_service.auth.middleware import grant_in
from imc_service.http.openapi import ANY_CALL, v1_replies
from imc_service.http.parameters import Parameters, described, read_query
from imc_service.http1.exchange import Exchange
from imc_service.http1.handed_over import EXTENSION
from pydantic import Field
from starlette.types import Receive, Send
from starlette.types import Scope as CallScope

from imc_push_node.gateway import event_stream
from imc_push_node.gateway.event_page import EventPage
from imc_push_node.gateway.event_stream import EventStream
from imc_push_node.gateway.gateway import Transport
from imc_push_node.gateway.push_format import PushFormat
from imc_push_node.http.connection import Arrival, Connections
from imc_push_node.http.doors import CURSOR_RULE, V1
from imc_push_node.http.gateway_paths import EVENTS, IDS, V1_GATEWAYS, read_ids
from imc_push_node.http.state import push_node

PATH = V1_GATEWAYS + "{appId}/{gatewayId}" + EVENTS

MAX_WAIT_SECONDS = 30
"""Proxies give a reply up after 50 or 60 seconds."""

RETRY_SECONDS = 1

_RULES = {
    **RULES,
    "cursor": CURSOR_RULE,
    "notices": "0 or 1",
    "wait": f"a whole number from 0 to {MAX_WAIT_SECONDS}",
}
_REPLIES = v1_replies(
    {
        **ANY_CALL,
        409: "40905: a newer connection has this gatewayId.",
        429: "42901: the app has all the gateways that its quota allows; `Retry-After` says when to retry.",
    }
)
_STREAM_HEADERS = {
    "Content-Type": event_stream.MEDIA_TYPE,
    "Connection": "close",
    "Vary": "Accept",
    "X-Accel-Buffering": "no",  # for proxies that would collect events before they pass them on
}

_ERRORS = {
    CloseCode.REPLACED: ErrorCode.REPLACED,
    CloseCode.TOKEN_INVALID: ErrorCode.UNAUTHENTICATED,
    CloseCode.FORBIDDEN: ErrorCode.FORBIDDEN,
    CloseCode.DISCONNECTED: ErrorCode.FORBIDDEN,
}
"""What a poll is answered that ended as a WebSocket would with these codes."""


class AskedEvents(Parameters):
    """Which events to answer."""

    cursor: MinCursor | None = Field(None, description="Only events after this one. Without it: from now on.")
    notices: Annotated[int, Field(ge=0, le=1, json_schema_extra=INT32), Whole] = Field(
        0, description="Whether to list notices, too.", examples=[1]
    )
    limit: Limit = DEFAULT_LIMIT
    wait: Annotated[int, Field(ge=0, le=MAX_WAIT_SECONDS, json_schema_extra=INT32), Whole] = Field(
        0, description="If there is no event, how many seconds to wait for one.", examples=[20]
    )


def routes() -> APIRouter:
    """``…/events``."""
    router = APIRouter()

    @router.get(
        PATH,
        response_model=Envelope[EventPageView],
        responses=_REPLIES,
        openapi_extra={"parameters": [*IDS, *described(AskedEvents, _RULES)["parameters"]]},
    )
    async def gateway_events(request: Request) -> Response:
        """What has happened in the app, as a gateway is pushed it.

        Each call is a connection of this gatewayId: it replaces an older one, a WebSocket too. With `wait`
        the reply comes as soon as there is an event. With `Accept: text/event-stream` events are sent as they
        happen, each with its cursor as its id; `Last-Event-ID` is then the cursor to go on from.
        """
        node, grant = push_node(request), grant_in(request.scope)
        ids = read_ids(request.path_params)
        grant.require(Scope.GATEWAY, ids.app_id)
        asked = read_query(request, AskedEvents, _RULES)
        is_stream = _wants_stream(request)
        exchange: Exchange = request.scope["extensions"][EXTENSION]
        connections = node.connections
        arrival = Arrival(
            door=V1,
            app_id=ids.app_id,
            gateway_id=ids.gateway_id,
            slot=V1.slot(ids.gateway_id),
            push_format=PushFormat.EVENTS_WITH_NOTICES if asked.notices else PushFormat.EVENTS,
            offered=_last_event_id(request) or asked.cursor if is_stream else asked.cursor,
            grant=grant,
            transport=Transport.STREAM if is_stream else Transport.POLL,
        )
        connections.admission.require(ids.app_id)
        if exchange.is_head:
            # It opens no connection, which would replace that of somebody who reads.
            return _only_head(event_stream.MEDIA_TYPE if is_stream else "application/json")
        await connections.gateway_quota.take(ids.app_id, arrival.slot)
        if is_stream:
            return _StreamedEvents(connections, arrival, exchange, EventStream(node.keepalive))
        page = EventPage(asked.limit)
        try:
            await connections.open(page, arrival)
            await _gather(page, asked.wait, exchange, request.receive)
            return _page_reply(page, lambda: connections.head_of(ids.app_id))
        finally:
            page.end()

    return router


def _only_head(media_type: str) -> Response:
    reply = Response(headers={"Content-Type": media_type, "Vary": "Accept"})
    del reply.headers["Content-Length"]
    return reply


def _wants_stream(request: Request) -> bool:
    """Whether a request accepts an event stream by name."""
    accepted = ",".join(request.headers.getlist("accept")).lower()
    ranges = (part.replace(" ", "").split(";") for part in accepted.split(","))
    return any(name == event_stream.MEDIA_TYPE and not _is_zero(rest) for name, *rest in ranges)


def _is_zero(parameters: list[str]) -> bool:
    return any(each in ("q=0", "q=0.0", "q=0.00", "q=0.000") for each in parameters)


def _last_event_id(request: Request) -> Cursor | None:
    text = request.headers.get("last-event-id")
    try:
        return Cursor.parse(text) if text else None
    except ValueError:
        raise Refused(
            ErrorCode.INVALID_FIELD, f"Last-Event-ID is not valid: it must be {CURSOR_RULE}"
        ) from None


async def _gather(page: EventPage, wait: int, exchange: Exchange, receive: Receive) -> None:
    """Let a page fill, unless its client leaves."""
    if wait:
        exchange.stand_by()
    gathering = asyncio.create_task(page.gathered(wait))
    leaving = asyncio.create_task(_left(receive))
    try:
        await asyncio.wait({gathering, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (gathering, leaving):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gathering


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _page_reply(page: EventPage, head_of_app: Callable[[], Cursor]) -> Response:
    """The reply with what a page has gathered; raises `Refused` if its gateway was sent away."""
    code, reason = page.ending
    is_cut_short = not page.is_live
    if page.has_ended and code in _ERRORS:
        raise Refused(_ERRORS[CloseCode(code)], reason)
    if page.cursor is None:
        raise unavailable(reason or "the log is out of reach: try again")
    if page.is_live and not page.has_ended:
        head = str(head_of_app())  # this may push what was not written yet
        if not page.is_full:
            page.cursor = head
    fields = {
        "cursor": page.cursor,
        "hasMore": page.is_full or is_cut_short,
        "recovered": page.recovered,
    }
    body = b'{"success":true,"code":0,"message":"success","data":{"events":[%b],%b}' % (
        b",".join(page.events),
        encode(fields)[1:],
    )
    return Response(body, media_type="application/json", headers={"Vary": "Accept"})


class _StreamedEvents(Response):
    """Begins an event stream, and lets its gateway in."""

    def __init__(
        self, connections: Connections, arrival: Arrival, exchange: Exchange, stream: EventStream
    ) -> None:
        super().__init__(headers=_STREAM_HEADERS)
        del self.headers["content-length"]
        self._connections = connections
        self._arrival = arrival
        self._exchange = exchange
        self._stream = stream

    async def __call__(self, scope: CallScope, receive: Receive, send: Send) -> None:
        """Write the head, then take the connection."""
        start: dict[str, Any] = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        await send(start)
        await send({"type": "http.response.body", "body": event_stream.START, "more_body": True})
        if not self._exchange.hand_over(self._stream):
            self._connections.gateway_quota.give_back(self._arrival.app_id, self._arrival.slot)
            return
        try:
            await self._connections.open(self._stream, self._arrival)
        except BaseException:
            self._stream.close(CloseCode.TRY_AGAIN_LATER, "the gateway could not be let in")
            raise
