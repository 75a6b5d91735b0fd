"""Any order, any repetition, any batching, side by side: the tables end as a plain model says."""

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imc_command_api.store.projection import PlacedEntry, Projection
from imc_service.database.database import Database, StoreUnavailable
from imc_service.retry import Backoff

GROUPS = ("g", "G", "h")


@dataclass(frozen=True)
class Thing:
    """A message or a notice, and what becomes of it."""

    is_notice: bool
    group: str
    time: int
    made: bool
    retired: bool


@dataclass(frozen=True)
class Run:
    """The things of a history, and who applies which of their events in which batches."""

    things: list[Thing]
    writers: list[list[list[int]]]


things = st.builds(
    Thing,
    is_notice=st.booleans(),
    group=st.sampled_from(GROUPS),
    time=st.integers(0, 3),
    made=st.booleans(),
    retired=st.booleans(),
)


@st.composite
def runs(draw: st.DrawFn) -> Run:
    chosen = draw(st.lists(things, min_size=1, max_size=12))
    count = sum(thing.made + thing.retired for thing in chosen)
    order = draw(st.permutations(range(count)))
    again = draw(st.lists(st.sampled_from(range(count)), max_size=count)) if count else []
    writers: list[list[list[int]]] = [[], []]
    for event in (*order, *again):
        batches = writers[draw(st.integers(0, 1))]
        if not batches or draw(st.booleans()):
            batches.append([])
        batches[-1].append(event)
    return Run(chosen, writers)


class Model:
    """What the tables must show: written down as plainly as can be."""

    def __init__(self) -> None:
        self.events: list[PlacedEntry] = []
        self.messages: list[dict[str, Any]] = []
        self.notices: list[dict[str, Any]] = []
        self.groups: dict[str, tuple[int, int, int]] = {}

    def add(self, history: Any, thing: Thing) -> None:
        make = history.notice if thing.is_notice else history.message
        view = make(thing.group, createTime=thing.time)
        began = (history.published if thing.is_notice else history.sent)(view) if thing.made else None
        ended = (history.deleted if thing.is_notice else history.recalled)(view, 5) if thing.retired else None
        events = [event for event in (began, ended) if event]
        if not events:
            return
        self.events += events
        row = {
            "app_id": view["appId"],
            "group_id": view["groupId"],
            "user_id": view["userId"],
            "content": view["content"],
            "create_time": view["createTime"],
            "status": 0 if ended else 1,
            "type": view["type"],
            "log_id": began.entry.id.column if began else None,
            "last_log_id": events[-1].entry.id.column,
        }
        ended_at = 5 if ended else 0
        if thing.is_notice:
            id_ = int(view["informationId"])
            more = {"delete_time": ended_at, "title": view["title"], "jump_url": view["jumpUrl"]}
            self.notices.append({"information_id": id_, **row, **more})
            return
        id_ = int(view["messageId"])
        more = {"recall_time": ended_at, "recall_cause": None}
        self.messages.append({"message_id": id_, **row, **more, "content": "" if ended else row["content"]})
        total, newest, time = self.groups.get(thing.group, (0, 0, -1))
        time, newest = max((time, newest), (thing.time, id_))
        self.groups[thing.group] = (total + 1, newest, time)


async def write(projection: Projection, batches: list[list[PlacedEntry]]) -> None:
    for batch in batches:
        await Backoff().retry(lambda: projection.apply(batch), StoreUnavailable)  # noqa: B023


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(run=runs())
async def test_the_tables_end_as_the_model_says(database: Database, tables: Any, history_of: Any, run: Run):
    history, model = history_of(f"model-{secrets.token_hex(6)}"), Model()
    for thing in run.things:
        model.add(history, thing)
    shares = [[[model.events[at] for at in batch] for batch in batches] for batches in run.writers]
    projection = Projection(database)
    await asyncio.gather(*(write(projection, share) for share in shares))
    assert await tables.messages(history.app_id) == model.messages
    assert await tables.notices(history.app_id) == model.notices
    assert await tables.groups(history.app_id) == model.groups
