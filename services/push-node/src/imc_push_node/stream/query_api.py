"""The client of query-api."""

from dataclasses import dataclass

import httpx
import orjson
from imc_contracts.cursor import ORIGIN, EntryId
from imc_contracts.envelope import Envelope
from imc_contracts.events import Entry, Event, EventKind
from imc_contracts.log_changes import PATH, LogChange, LogChangesPage
from imc_contracts.views import Message
from pydantic import TypeAdapter, ValidationError

SECONDS = 5.0
"""How long a query-api that hangs can hold up gateways."""

_OK = 200
_ANSWER: TypeAdapter[Envelope[LogChangesPage]] = TypeAdapter(Envelope[LogChangesPage])


class NotAnswered(Exception):
    """No answer, or an unusable one. The next call may get one."""


@dataclass(frozen=True, slots=True)
class ArchivedEntries:
    """Entries that the log once held, made again from what the database knows now."""

    entries: list[Entry]
    messages: dict[int, Message]
    """The messages among the entries, by index."""
    is_last: bool
    """Whether there are no more."""
    removed_to: EntryId
    """Entries up to this one may be missing. `ORIGIN` if none is."""


class QueryApiClient:
    """Calls query-api by an HTTP client whose base URL is set."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def changes(
        self, app_id: str, after: EntryId, before: EntryId, limit: int, *, with_notices: bool
    ) -> ArchivedEntries:
        """Ask for the first entries between two ids, at most ``limit``. Raises `NotAnswered`."""
        parameters = {
            "appId": app_id,
            "after": str(after),
            "before": str(before),
            "notices": "1" if with_notices else "0",
            "erasures": "1",
            "limit": str(limit),
        }
        try:
            reply = await self._client.get(PATH, params=parameters, timeout=SECONDS)
            if reply.status_code != _OK:
                raise NotAnswered(f"status {reply.status_code}")
            page = _ANSWER.validate_json(reply.content)["data"]
            entries = [_entry(change) for change in page["changes"]]
            removed_to = EntryId.parse(page["removedTo"]) if "removedTo" in page else ORIGIN
        except (httpx.HTTPError, ValidationError, ValueError) as error:
            raise NotAnswered(type(error).__name__) from error
        messages = {
            index: change["view"] for index, change in enumerate(page["changes"]) if change["kind"] == "s"
        }
        return ArchivedEntries(entries, messages, page["isLast"], removed_to)


def _entry(change: LogChange) -> Entry:
    event = Event(EventKind(change["kind"].encode()), orjson.dumps(change["view"]))
    return event.at(EntryId.parse(change["entryId"]))
