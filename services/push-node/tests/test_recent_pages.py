"""Pages that were just read serve those who come a moment later, and never tell them anything outdated."""

from typing import Any

import pytest
from imc_contracts.cursor import Cursor, EntryId
from imc_contracts.events import Event, EventKind, message_sent
from imc_push_node.stream.log_reader import PAGE, LogReader
from imc_push_node.stream.log_state import LogState, Stretch
from imc_push_node.stream.recent_pages import LogPage, RecentPages
from imc_testkit.gateway import Gateway, connect


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The app of each page that was read."""
    after, apps = LogReader.after, list[str]()

    async def noted(self: LogReader, app_id: str, *rest: Any) -> Stretch:
        apps.append(app_id)
        return await after(self, app_id, *rest)

    monkeypatch.setattr(LogReader, "after", noted)
    return apps


def contents(gateway: Gateway) -> list[str]:
    return [frame["data"]["content"] for frame in gateway.with_code(2001)]


async def told(node: Any, app_log: Any, gateway_id: str, cursor: Cursor, count: int) -> list[str]:
    """What a gateway hears that comes with ``cursor``, and goes."""
    async with connect(node.url, app_log.app_id, gateway_id, cursor=str(cursor)) as gateway:
        await gateway.wait_for_code(2001, count)
        assert gateway.frames[0]["code"] == 2000
        assert gateway.frames[0]["recovered"]
        return contents(gateway)


async def test_whoever_comes_a_moment_later_costs_no_read(node: Any, app_log: Any, reads: list[str]) -> None:
    count = 2 * PAGE + 10
    cursors = await app_log.send(count)
    expected = [str(number) for number in range(2, count + 1)]
    async with connect(node.url, app_log.app_id, "stays", cursor=str(cursors[0])) as stays:
        await stays.wait_for_code(2001, count - 1)
        assert len(reads) == 3
        await app_log.send()
        await stays.wait_for_code(2001, count)
        for number, at in enumerate((0, PAGE, count - 2)):
            rest = await told(node, app_log, f"late-{number}", cursors[at], count - at)
            assert rest == [*expected[at:], str(count + 1)]
    assert len(reads) == 3


@pytest.mark.parametrize("publish", [True, False], ids=["heard", "its publishing lost"])
async def test_a_recall_since_then_is_seen(node: Any, app_log: Any, publish: bool) -> None:
    (start,) = await app_log.send()
    message = app_log.message("secret")
    await app_log.append(message_sent(message))
    await app_log.send(5)
    assert "secret" in await told(node, app_log, "before", start, 6)
    await app_log.recall(message, publish=publish)
    heard = await told(node, app_log, "after", start, 6)
    assert len(heard) == 6
    assert heard[0] == ""


async def test_another_log_is_announced_all_the_same(node: Any, app_log: Any) -> None:
    cursors = await app_log.send(5)
    await told(node, app_log, "before", cursors[0], 4)
    await app_log.end()
    await app_log.send(publish=False)
    async with connect(node.url, app_log.app_id, "after", cursor=str(cursors[0])) as gateway:
        await gateway.wait_for_code(4002)
        assert contents(gateway) == []


def page(first: int, last: int, epoch: str = "line", generation: int = 0) -> LogPage:
    """A page of entries of those numbers, which begins after the one before ``first``."""
    ids = [EntryId(number, 0) for number in range(first, last + 1)]
    entries = [Event(EventKind.MESSAGE_SENT, b"{}").at(at) for at in ids]
    end = Cursor(epoch, ids[-1])
    stretch = Stretch(
        state=LogState(epoch, EntryId(1, 0), EntryId(1000, 0), 0),
        start=Cursor(epoch, EntryId(first - 1, 0)),
        entry_ids=frozenset([EntryId(first - 1, 0), *ids]),
        entries=entries,
        end=end,
        is_last=False,
        is_from_birth=False,
    )
    return LogPage(stretch, Cursor(epoch, EntryId(1000, 0)), generation)


def point(number: int, epoch: str = "line") -> Cursor:
    return Cursor(epoch, EntryId(number, 0))


def test_a_page_is_for_those_whom_it_leads_on() -> None:
    recent = RecentPages()
    kept = page(10, 20)
    recent.keep("app", kept, 0)
    assert recent.after("app", point(9), 0) is kept
    assert recent.after("app", point(19), 0) is kept
    for other in (point(8), point(20), point(12, "other"), Cursor("line", EntryId(12, 5)), point(12, "u1")):
        assert recent.after("app", other, 0) is None, other
    assert recent.after("app", point(12), 1) is None, "something was recalled since"
    assert recent.after("other app", point(12), 0) is None


def test_pages_are_bounded_in_bytes_and_in_time() -> None:
    size = page(10, 19).size
    recent = RecentPages(most_bytes=2 * size)
    for number, app_id in enumerate(("one", "two", "two", "three")):
        recent.keep(app_id, page(10, 19), float(number))
    assert recent.after("one", point(12), 0) is None, "the oldest has made place"
    assert recent.after("two", point(12), 0) is not None
    recent.forget(2.5)
    assert recent.after("two", point(12), 0) is None
    assert recent.after("three", point(12), 0) is not None
    recent.keep("four", page(10, 100), 4.0)
    assert recent.after("four", point(12), 0) is None, "it is larger than all that may be kept"
    recent.forget(9.0)
    recent.keep("one", page(10, 19), 9.0)
    assert recent.after("one", point(12), 0) is not None


def test_pages_of_an_app_that_is_not_followed_any_more_are_dropped() -> None:
    """It may be followed again a moment later, and begins to count generations anew."""
    recent = RecentPages()
    for app_id in ("one", "two"):
        recent.keep(app_id, page(10, 19), 0)
        recent.keep(app_id, page(20, 29), 0)
    recent.leave("one")
    recent.leave("three")
    assert recent.after("one", point(12), 0) is None
    assert recent.after("two", point(12), 0) is not None
    recent.forget(1.0)
    assert recent.after("two", point(12), 0) is None
