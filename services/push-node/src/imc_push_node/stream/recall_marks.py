"""Keeps the content of recalled messages out of replays."""

from typing import cast

from imc_contracts import events, names
from imc_contracts.events import Entry, RecallMark
from imc_contracts.views import Message, recalled
from imc_service.redis.masters import Masters
from prometheus_client import Counter


class RecallMarks:
    """The recalled messages of each app, for as long as its log may hold them."""

    def __init__(self, masters: Masters, skipped: Counter) -> None:
        self._masters = masters
        self._skipped = skipped

    async def mask(self, app_id: str, entries: list[Entry], messages: dict[int, Message]) -> None:
        """Remove the content of recalled messages from ``entries``, which were read before this call.

        ``messages`` are the messages among the entries, by index. A recall that happens meanwhile is seen
        here, or follows as an entry of its own. Raises what redis-py raises.
        """
        marks = await self._between(app_id, [message["createTime"] for message in messages.values()])
        for index, message in messages.items():
            mark = marks.get(message["messageId"])
            if mark is not None:
                masked = recalled(message, mark.recall_time, mark.recall_cause)
                entries[index] = events.message_sent(masked).at(entries[index].id)

    async def _between(self, app_id: str, times: list[int]) -> dict[str, RecallMark]:
        if not times:
            return {}
        key = names.recalled(app_id)
        found = await self._masters.run(key, lambda redis: redis.zrangebyscore(key, min(times), max(times)))  # pyright: ignore
        members = cast("list[bytes]", found)
        marks: dict[str, RecallMark] = {}
        for member in members:
            try:
                mark = RecallMark.read(member)
            except (ValueError, TypeError):
                self._skipped.inc()  # put there by hand
            else:
                marks[mark.message_id] = mark
        return marks
