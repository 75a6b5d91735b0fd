"""A gateway: it stays connected, hands out each event once, in order, and knows what became of its sends."""

import asyncio
import contextlib
import json
import logging
import random
import time
import uuid
from collections import deque
from collections.abc import Iterable
from types import TracebackType
from typing import Any, NoReturn, Self

import httpx
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from imc_gateway.addresses import Nodes, with_parameters
from imc_gateway.background import running
from imc_gateway.calls import message_body, retry_after_of
from imc_gateway.clients import AsyncClient
from imc_gateway.endings import Ending, of_close, of_status, pause_after
from imc_gateway.errors import ImcError
from imc_gateway.groups import HeldGroups
from imc_gateway.inbox import Inbox
from imc_gateway.models import (
    Erased,
    Event,
    Gap,
    Message,
    MessageRecalled,
    MessageSent,
    Notice,
    NoticeDeleted,
    NoticePublished,
    Sent,
)
from imc_gateway.positions import Position
from imc_gateway.repair import KnownEvents, missed
from imc_gateway.sends import Send, Unanswered
from imc_gateway.sockets import CLOSE_SECONDS, GatewaySocket, opened
from imc_gateway.stores import Store
from imc_gateway.tokens import Tokens
from imc_gateway.watching import watch

logger = logging.getLogger("imc_gateway")

RESEND_SECONDS = 1.0
REPAIR_SECONDS = 60.0
"""How long the history is asked for after a gap, while it is out of reach."""
SAVE_SECONDS = 0.2
STUCK_SECONDS = 0.2
"""After so long without a look at events, the loop may wait for a send whose answer is behind them."""

_NOTICES = {2004: NoticePublished, 2005: NoticeDeleted}


class Gateway:
    """Made by `imc_gateway.connect`. Iterate over it for events.

    An event counts as done when the next one is asked for.
    """

    def __init__(
        self,
        nodes: Nodes,
        app_id: str,
        tokens: Tokens,
        store: Store,
        notices: bool,
        groups: HeldGroups,
        queries: AsyncClient,
        buffer: int,
        max_unanswered: int,
    ) -> None:
        self._app_id = app_id
        self._tokens = tokens
        self._store = store
        self._notices = notices
        self._groups = groups
        self._queries = queries
        self._nodes = nodes
        self._inbox = Inbox(buffer)
        self._unanswered = Unanswered(max_unanswered)
        self._outgoing: deque[Send] = deque()
        self._moved = asyncio.Event()
        """Set when an event was handed out, or a send arrived."""
        self._read = self._handed = self._saved = Position()
        self._saved_at = 0.0
        self._known = KnownEvents()
        self._connected = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._refusal: Ending | None = None
        self._is_behind = False
        """Whether this connection left events out: sends waited for answers while the inbox was full."""

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now. Events and sends do not depend on it: they are made up for."""
        return self._connected.is_set()

    @property
    def cursor(self) -> str | None:
        """The cursor of the newest event that was handed out, or of where it began.

        Give it to a query as ``min_cursor``: the reply holds all that was handed out until now.
        """
        return self._handed.cursor

    async def __aenter__(self) -> Self:
        """Wait until it is connected.

        Raises `Ended` if it can't be, and what the store or the function of the token raises.
        """
        try:
            self._read = self._handed = self._saved = Position.read(await self._store.load())
            self._runner = asyncio.create_task(self._run())
            first = asyncio.create_task(self._connected.wait())
            try:
                await asyncio.wait({first, self._runner}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                first.cancel()
            if self._runner.done():
                self._runner.result()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Close the connection. If the block ended well, the last event is done."""
        await self._close()
        if kind is None:
            await self._save()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """The next event. Raises `Ended` when the connection has ended for good."""
        event = None
        while event is None:
            if self._handed != self._saved and (not self._inbox or _now() - self._saved_at >= SAVE_SECONDS):
                await self._save()
            event, self._handed = await self._inbox.get()
        self._moved.set()
        return event

    async def send(
        self,
        group_id: str,
        user_id: str,
        content: str,
        *,
        type: int | None = None,
        client_message_id: str | None = None,
    ) -> Sent:
        """Send a message; returns when it is known to be in the log, across cuts and restarts.

        Give a ``client_message_id`` of your own to repeat the send from another process. Raises `ImcError` if
        it is refused for good, and `Ended`. If this is cancelled, nobody knows whether the message was sent.
        """
        key = client_message_id or uuid.uuid4().hex
        body = message_body(None, group_id, user_id, content, type=type, client_message_id=key)
        send = await self._unanswered.add(body)
        self._hand_over(send)
        try:
            return await send.answer
        finally:
            self._unanswered.remove(send)

    async def add_groups(self, group_ids: Iterable[str]) -> None:
        """Get the events of more groups; returns when all that happens from then on will come.

        What was before is in the history. Raises `ImcError` if that is refused, such as for too many groups,
        `Ended`, and `ValueError` without ``groups`` at `connect`.
        """
        await self._change_groups(add=group_ids)

    async def remove_groups(self, group_ids: Iterable[str]) -> None:
        """Get the events of some groups no more. Raises as `add_groups`."""
        await self._change_groups(remove=group_ids)

    async def _change_groups(self, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        for answer in self._groups.changes(add, remove):
            self._moved.set()
            await answer

    async def _save(self) -> None:
        position = self._handed
        if position != self._saved:
            await self._store.save(position.text())
            self._saved, self._saved_at = position, _now()

    async def _close(self) -> None:
        if self._runner is not None:
            while not self._runner.done():
                # Once more if it goes on: what it was waiting for may have taken the end of its own for this.
                self._runner.cancel()
                await asyncio.wait({self._runner}, timeout=CLOSE_SECONDS)
        closed = ConnectionError("the gateway was closed")
        self._unanswered.fail(closed)
        self._groups.fail(closed)
        self._inbox.end(None)
        await self._nodes.close()
        await self._queries.aclose()

    async def _run(self) -> None:
        """Stay connected until there is no use in it."""
        try:
            failures = refused_tokens = 0
            while True:
                ending = await self._connect_once()
                self._connected.clear()
                self._groups.end()
                refused_tokens = refused_tokens + 1 if ending.is_of_token else 0
                if ending.fault is not None and (refused_tokens != 1 or not self._tokens.are_renewed):
                    raise ending.fault
                failures = 0 if ending.was_connected else failures + 1
                pause = ending.pause if ending.pause is not None else pause_after(failures)
                logger.log(ending.level, "connecting again in %.1f s: %s", pause, ending.words)
                await asyncio.sleep(pause)
        except Exception as fault:
            self._unanswered.fail(fault)
            self._groups.fail(fault)
            self._inbox.end(fault)
            raise

    async def _connect_once(self) -> Ending:
        token = await self._tokens.fresh()
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._refusal = None
        self._is_behind = False
        ending = Ending("no connection")
        for url in await self._nodes.urls(headers):
            target = with_parameters(
                url, self._read.cursor, notices=self._notices, lists_groups=self._groups.are_listed
            )
            try:
                async with (
                    opened(target, headers) as socket,
                    running(
                        self._write(socket),
                        self._catch_up(socket),
                        self._tokens.renew(token, socket.send),
                        watch(socket, self._inbox),
                    ),
                ):
                    await self._listen(socket)
            except ConnectionClosed as closed:
                ending = of_close(closed, was_connected=self._connected.is_set())
                break
            except InvalidStatus as refused:
                response = refused.response
                ending = of_status(response.status_code, retry_after_of(response.headers))
            except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as fault:
                ending = Ending(f"{type(fault).__name__}: {fault}")
        return self._refusal or ending

    async def _listen(self, socket: GatewaySocket) -> NoReturn:
        """Take frames until the connection ends; raises `ConnectionClosed`."""
        while True:
            frame = json.loads(await socket.recv())
            await self._take(frame["code"], frame, frame.get("data"))
            if self._refusal is not None and frame["code"] == 4001:
                await socket.close()

    async def _catch_up(self, socket: GatewaySocket) -> None:
        """Once events were left out and there is room for them, end the connection: the next has them."""
        while not self._is_behind or self._inbox:
            await self._moved.wait()
            self._moved.clear()
        await socket.close()

    async def _take(self, code: int, frame: dict[str, Any], data: Any) -> None:
        if code == 2000:
            if self._read.cursor is None:
                # It goes to the store as it is: a new process must not begin later than this one.
                self._read = self._handed = self._read.after(frame["cursor"], time.time_ns() // 1_000_000)
            self._outgoing = deque(self._unanswered)
            if self._groups.begin():
                self._connected.set()
            self._moved.set()
        elif code == 2003:
            self._unanswered.accepted(data["clientMessageId"], Sent.read(data))
        elif code == 4000:
            self._refusal = Ending(frame["message"])
            if not data["retryable"]:
                self._refusal = Ending.final(data["error"], frame["message"])
        elif code == 4001:
            self._refused(frame["message"], data or {})
        elif code == 4002:
            await self._repair(data["to"])
        elif code in (2007, 2008):
            if code == 2007 and self._groups.taken():
                self._connected.set()
                self._moved.set()
            if not self._is_behind and self._read.cursor != frame["cursor"]:
                self._read = self._read.after(frame["cursor"])
                self._inbox.move(self._read)
        elif code in (2001, 2002):
            message = Message.read(data)
            event = MessageSent(message) if code == 2001 else MessageRecalled(message)
            await self._take_message(event, self._read.after(frame["cursor"], message.create_time))
        elif code in _NOTICES:
            await self._put(_NOTICES[code](Notice.read(data)), self._read.after(frame["cursor"]))
        elif code == 2006:
            await self._put(Erased.read(data), self._read.after(frame["cursor"]))

    async def _take_message(self, event: MessageSent | MessageRecalled, position: Position) -> None:
        if event in self._known:
            # It was found in the history after a gap, and the log has it too.
            self._read = self._read if self._is_behind else position
        elif await self._put(event, position):
            self._known.learn(event)

    async def _put(self, event: Event, position: Position) -> bool:
        """Hand an event on; returns whether it was. Waits for room, not long while sends wait for answers."""
        while self._inbox.is_full and not self._is_behind:
            patience = STUCK_SECONDS - self._inbox.idle_seconds if self._unanswered else None
            if patience is not None and patience <= 0:
                # Their answers come on this connection too. What is left out now comes after a reconnect.
                self._is_behind = True
                break
            self._moved.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._moved.wait(), patience)
        if self._is_behind:
            return False
        self._read = position
        self._inbox.put(event, position)
        return True

    def _refused(self, message: str, data: dict[str, Any]) -> None:
        wait_ms = data.get("retryAfter")
        pause = None if wait_ms is None else wait_ms / 1000
        error = ImcError(data["error"], message, is_retryable=data["retryable"], retry_after=pause)
        key = data.get("clientMessageId")
        if data.get("groupsHeld") is not None:
            if self._groups.refused(error):
                # Without its list the connection is of no use.
                self._refusal = Ending(message, pause)
                if not error.is_retryable:
                    self._refusal = Ending.final(error.code, message)
            return
        if key is None:
            logger.warning("a frame was refused: %s", error)
            return
        send = self._unanswered.refused(key, error)
        if send is not None:
            pause = RESEND_SECONDS if pause is None else pause
            asyncio.get_running_loop().call_later(pause * random.uniform(1, 1.5), self._hand_over, send)  # noqa: S311

    def _hand_over(self, send: Send) -> None:
        """Have a send written, unless it is answered by now."""
        if send in self._unanswered:
            self._outgoing.append(send)
            self._moved.set()

    async def _write(self, socket: GatewaySocket) -> None:
        """Write changes of groups and, once all are listed, sends, those of before this connection first."""
        while True:
            while self._groups.outgoing:
                await socket.send(self._groups.outgoing.popleft())
            while self._outgoing and self._connected.is_set() and not self._groups.outgoing:
                send = self._outgoing.popleft()
                if send in self._unanswered:
                    await socket.send(send.frame)
            await self._moved.wait()
            self._moved.clear()

    async def _repair(self, to: str) -> None:
        """Hand on what the history knows of the time of a gap, then tell of the gap itself."""
        deadline, failures, is_repaired = _now() + REPAIR_SECONDS, 0, False
        while not is_repaired:
            try:
                newest = self._read.newest
                events = missed(self._queries, self._app_id, self._groups, newest, self._known, to)
                async with contextlib.aclosing(events):
                    async for event in events:
                        if not await self._put(event, self._read):
                            return  # the gap is told again after the reconnect
                        self._known.learn(event)
                is_repaired = True
            except (httpx.HTTPError, ImcError) as fault:
                is_final = isinstance(fault, ImcError) and not fault.is_retryable
                if is_final or _now() > deadline:
                    logger.warning("a gap is not repaired: %s", fault)
                    break
                failures += 1
                await asyncio.sleep(pause_after(failures + 1))
        await self._put(Gap(is_repaired), self._read.after(to))


def _now() -> float:
    return asyncio.get_running_loop().time()
