"""Repairs a gap: reads from the history what the pushes between two cursors were."""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Container

from imc_gateway import calls
from imc_gateway.clients import PAGE, AsyncClient
from imc_gateway.models import Message, MessageRecalled, MessageSent

MARGIN_MS = 180_000
"""The history is read from so long before the newest known message: until then it may be recalled."""


class KnownEvents:
    """The newest messages that the gateway got, by id, and whether it was told that they were recalled."""

    def __init__(self, limit: int = 20_000) -> None:
        self._limit = limit
        self._recalled: OrderedDict[str, bool] = OrderedDict()

    def learn(self, event: MessageSent | MessageRecalled) -> None:
        """Take note of an event that was handed on."""
        message_id = event.message.message_id
        was_recalled = self._recalled.pop(message_id, False)
        self._recalled[message_id] = was_recalled or isinstance(event, MessageRecalled)
        if len(self._recalled) > self._limit:
            self._recalled.popitem(last=False)

    def __contains__(self, event: MessageSent | MessageRecalled) -> bool:
        """Whether the event was handed on, or one that says more."""
        was_recalled = self._recalled.get(event.message.message_id)
        return was_recalled is not None and (was_recalled or isinstance(event, MessageSent))


async def missed(
    client: AsyncClient, app_id: str, groups: Container[str], newest: int, known: KnownEvents, min_cursor: str
) -> AsyncGenerator[MessageSent | MessageRecalled]:
    """What happened to messages of ``groups`` since shortly before ``newest``, in ms, and is not ``known``.

    Group by group, each in its order, all that happened up to ``min_cursor``. Raises as `AsyncClient.call`.
    """
    start = max(0, newest - MARGIN_MS)
    async for group_id in _groups_since(client, app_id, start, min_cursor):
        if group_id not in groups:
            continue
        async for message in _messages_since(client, app_id, group_id, start, min_cursor):
            event = MessageRecalled(message, True) if message.is_recalled else MessageSent(message, True)
            if event not in known:
                yield event


async def _groups_since(client: AsyncClient, app_id: str, start: int, min_cursor: str) -> AsyncGenerator[str]:
    after: str | None = None
    while True:
        page = await client.call(calls.groups(app_id, after=after, limit=PAGE, min_cursor=min_cursor))
        for group in page.items:
            if group.update_time < start:
                return
            yield group.group_id
        if not page.has_more:
            return
        after = page.items[-1].newest_message.message_id


async def _messages_since(
    client: AsyncClient, app_id: str, group_id: str, start: int, min_cursor: str
) -> AsyncGenerator[Message]:
    """The messages of a group from a time on, oldest first, a page in memory at a time."""

    async def page_of(before: str | None = None, after: str | None = None) -> calls.Page[Message]:
        call = calls.messages(
            app_id,
            group_id=group_id,
            before=before,
            after=after,
            start_time=start,
            limit=PAGE,
            min_cursor=min_cursor,
        )
        return await client.call(call)

    page = await page_of()
    while page.has_more:
        page = await page_of(before=page.items[0].message_id)
    while page.items:
        for message in page.items:
            yield message
        page = await page_of(after=page.items[-1].message_id)
