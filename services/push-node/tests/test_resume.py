"""What a gateway gets that comes back with a cursor."""

import asyncio
import contextlib
from typing import Any

import pytest
from imc_contracts import names
from imc_contracts.cursor import Cursor, EntryId
from imc_contracts.events import message_sent
from imc_push_node.stream.log_reader import PAGE
from imc_testkit.gateway import Gateway, connect


def contents(gateway: Gateway) -> list[str]:
    return [frame["data"]["content"] for frame in gateway.with_code(2001)]


def numbers(first: int, last: int) -> list[str]:
    return [str(number) for number in range(first, last + 1)]


async def test_exactly_what_followed_the_cursor_then_live(node: Any, app_log: Any) -> None:
    cursors = await app_log.send(10)
    async with connect(node.url, app_log.app_id, "one", cursor=str(cursors[3])) as gateway:
        (connected,) = await gateway.wait_for_code(2000)
        assert (connected["cursor"], connected["recovered"]) == (str(cursors[3]), True)
        await gateway.wait_for_code(2001, 6)
        await app_log.send()
        await gateway.wait_for_code(2001, 7)
        assert contents(gateway) == numbers(5, 11)
        assert gateway.frames[0] == connected


async def test_the_newest_cursor_is_resumed_without_reading(node: Any, app_log: Any) -> None:
    cursors = await app_log.send(2)
    async with connect(node.url, app_log.app_id, "one", cursor=str(cursors[-1])) as gateway:
        (connected,) = await gateway.wait_for_code(2000)
        assert (connected["cursor"], connected["recovered"]) == (str(cursors[-1]), True)
        await app_log.send()
        await gateway.wait_for_code(2001)
        assert contents(gateway) == ["3"]


async def test_without_a_cursor_it_begins_now(node: Any, app_log: Any) -> None:
    cursors = await app_log.send(2)
    async with connect(node.url, app_log.app_id, "one") as gateway:
        (connected,) = await gateway.wait_for_code(2000)
        assert (connected["cursor"], connected["recovered"]) == (str(cursors[-1]), False)
        await app_log.send()
        await gateway.wait_for_code(2001)
        assert contents(gateway) == ["3"]


async def test_nothing_is_lost_or_doubled_while_others_write(node: Any, app_log: Any) -> None:
    """Gateways come and go with their cursors all the time; together each one's visits tell the log once."""
    total = 1500
    done = asyncio.Event()

    async def write() -> None:
        for index in range(0, total, 3):
            await app_log.send(3, publish=index % 17 != 0)
        done.set()

    async def come_and_go(gateway_id: str, frames_a_visit: int) -> list[str]:
        cursor, seen = first, list[str]()
        while len(seen) < total:
            async with connect(node.url, app_log.app_id, gateway_id, cursor=cursor) as gateway:
                await gateway.wait_for_code(2000)
                wanted = min(frames_a_visit, total - len(seen))
                await gateway.wait_for_code(2001, wanted)
                assert gateway.frames[0]["recovered"]
                cursor = gateway.cursor
                seen += contents(gateway)
        return seen

    (first_cursor,) = await app_log.send()
    first = str(first_cursor)
    _, *visits = await asyncio.gather(
        write(), come_and_go("a", 1), come_and_go("b", 40), come_and_go("c", 700)
    )
    assert done.is_set()
    for seen in visits:
        assert seen == numbers(2, total + 1)


async def test_many_that_resume_at_once_cost_reads_per_app(node: Any, app_log: Any) -> None:
    cursors = await app_log.send(PAGE * 3)
    before = await app_log.redis.info("commandstats")
    async with contextlib.AsyncExitStack() as stack:
        visits = [
            connect(node.url, app_log.app_id, f"g{index}", cursor=str(cursors[index])) for index in range(60)
        ]
        gateways = await asyncio.gather(*(stack.enter_async_context(visit) for visit in visits))
        for index, gateway in enumerate(gateways):
            await gateway.wait_for_code(2001, len(cursors) - index - 1)
            assert contents(gateway) == numbers(index + 2, len(cursors))
    after = await app_log.redis.info("commandstats")
    reads = after["cmdstat_xrange"]["calls"] - before.get("cmdstat_xrange", {"calls": 0})["calls"]
    # Each alone would take 3 or 4.
    assert reads < 60


async def test_notices_are_passed_over_silently(node: Any, app_log: Any) -> None:
    (start,) = await app_log.send()
    *_, end = await app_log.notices()
    async with connect(node.url, app_log.app_id, "plain", cursor=str(start)) as plain:
        (connected,) = await plain.wait_for_code(2000)
        assert connected["recovered"]
        await app_log.send()
        await plain.wait_for_code(2001)
        assert [frame["code"] for frame in plain.frames] == [2000, 2001]
    async with connect(node.url, app_log.app_id, "informed", cursor=str(start), notices=True) as informed:
        await informed.wait_for_code(2001)
        assert [frame["code"] for frame in informed.frames] == [2000, 2004, 2005, 2001]
        assert informed.frames[2]["cursor"] == str(end)


async def test_recalled_content_is_not_replayed(node: Any, app_log: Any) -> None:
    (start,) = await app_log.send()
    secret, kept = app_log.message("secret"), app_log.message("kept")
    await app_log.append(message_sent(secret), message_sent(kept))
    await app_log.recall(secret)
    async with connect(node.url, app_log.app_id, "one", cursor=str(start)) as gateway:
        await gateway.wait_for_code(2002)
        sent, other, recalled = gateway.frames[1:]
    assert (sent["code"], other["code"], recalled["code"]) == (2001, 2001, 2002)
    assert sent["data"] == recalled["data"]
    assert (sent["data"]["content"], sent["data"]["status"]) == ("", 0)
    assert sent["data"]["messageId"] == secret["messageId"]
    assert other["data"] == kept


async def test_recalled_content_is_not_shown_when_a_hole_is_mended(node: Any, app_log: Any) -> None:
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        secret = app_log.message("secret")
        await app_log.append(message_sent(secret), publish=False)
        await app_log.recall(secret)
        await gateway.wait_for_code(2002)
        assert [frame["data"]["content"] for frame in gateway.frames[1:]] == ["", ""]


@pytest.mark.parametrize("offered", ["other.1-1", "line.1-1", "line.9999999999999-0", "u.9999999999999-0"])
async def test_a_point_that_is_unknown_is_a_gap(node: Any, app_log: Any, offered: str) -> None:
    (last,) = await app_log.send()
    async with connect(node.url, app_log.app_id, "one", cursor=offered) as gateway:
        await gateway.wait_for_code(4002)
        connected, gap = gateway.frames
        assert (connected["code"], connected["cursor"]) == (2000, str(last))
        assert connected["recovered"] is False
        assert gap["data"] == {"from": offered, "to": str(last)}
        await app_log.send()
        await gateway.wait_for_code(2001)
        assert contents(gateway) == ["2"]


async def test_a_point_that_was_trimmed_is_a_gap(node: Any, app_log: Any) -> None:
    cursors = await app_log.send(10)
    await app_log.redis.xtrim(names.log(app_log.app_id), minid=str(cursors[6].entry), approximate=False)
    async with (
        connect(node.url, app_log.app_id, "late", cursor=str(cursors[4])) as late,
        connect(node.url, app_log.app_id, "just", cursor=str(cursors[6])) as just,
    ):
        await late.wait_for_code(4002)
        await just.wait_for_code(2001, 3)
        assert contents(just) == numbers(8, 10)
        assert just.frames[0]["recovered"]


async def test_the_newest_point_is_none_even_if_all_was_trimmed(node: Any, app_log: Any) -> None:
    cursors = await app_log.send(3)
    await app_log.redis.xtrim(names.log(app_log.app_id), maxlen=0, approximate=False)
    async with connect(node.url, app_log.app_id, "one", cursor=str(cursors[-1])) as gateway:
        (connected,) = await gateway.wait_for_code(2000)
        assert connected["recovered"]


async def greeting(node: Any, app_log: Any) -> str:
    """The cursor that a gateway gets which comes without one."""
    async with connect(node.url, app_log.app_id, "early") as gateway:
        (connected,) = await gateway.wait_for_code(2000)
        return connected["cursor"]


class TestBeforeTheFirstEntry:
    async def test_all_that_was_written_since_follows(self, node: Any, app_log: Any) -> None:
        async with connect(node.url, app_log.app_id, "one") as gateway:
            (connected,) = await gateway.wait_for_code(2000)
            assert connected["cursor"].startswith("u")
            cursor = connected["cursor"]
        await app_log.send(PAGE + 10)
        async with connect(node.url, app_log.app_id, "one", cursor=cursor) as gateway:
            await gateway.wait_for_code(2001, PAGE + 10)
            assert gateway.frames[0]["cursor"] == cursor
            assert gateway.frames[0]["recovered"]
            assert contents(gateway) == numbers(1, PAGE + 10)

    async def test_live_from_the_first_entry_on(self, node: Any, app_log: Any) -> None:
        async with connect(node.url, app_log.app_id, "one") as gateway:
            await gateway.wait_for_code(2000)
            await app_log.send(2)
            await gateway.wait_for_code(2001, 2)
            assert gateway.with_code(4002) == []

    async def test_a_first_batch_that_was_not_published(self, node: Any, app_log: Any) -> None:
        async with connect(node.url, app_log.app_id, "one") as gateway:
            await gateway.wait_for_code(2000)
            await app_log.send(2, publish=False)
            await gateway.wait_for_code(2001, 2)
            assert gateway.with_code(4002) == []

    async def test_it_is_recovered_while_there_is_still_nothing(self, node: Any, app_log: Any) -> None:
        cursor = await greeting(node, app_log)
        async with connect(node.url, app_log.app_id, "one", cursor=cursor) as gateway:
            (connected,) = await gateway.wait_for_code(2000)
            assert (connected["cursor"], connected["recovered"]) == (cursor, True)

    async def test_a_log_without_its_first_entry_is_a_gap(self, node: Any, app_log: Any) -> None:
        cursor = await greeting(node, app_log)
        cursors = await app_log.send(3)
        await app_log.redis.xtrim(names.log(app_log.app_id), minid=str(cursors[1].entry), approximate=False)
        async with connect(node.url, app_log.app_id, "one", cursor=cursor) as gateway:
            await gateway.wait_for_code(4002)

    async def test_a_log_that_was_born_and_lost_since_is_a_gap(self, node: Any, app_log: Any) -> None:
        cursor = await greeting(node, app_log)
        await app_log.send(2)
        await app_log.end()
        await app_log.send()
        async with connect(node.url, app_log.app_id, "one", cursor=cursor) as gateway:
            (gap,) = await gateway.wait_for_code(4002)
            assert gap["data"]["from"] == cursor
            assert not gateway.frames[0]["recovered"]

    async def test_a_log_that_is_older_than_the_point_is_a_gap(self, node: Any, app_log: Any) -> None:
        cursor = Cursor.parse(await greeting(node, app_log))
        (born,) = await app_log.send()
        later = Cursor(cursor.epoch, EntryId(born.entry.ms + 1, 0))
        async with connect(node.url, app_log.app_id, "one", cursor=str(later)) as gateway:
            await gateway.wait_for_code(4002)
