"""What live gateways are told, whatever becomes of Pub/Sub and of the log."""

import asyncio
from typing import Any

import httpx
import pytest
from imc_contracts import names
from imc_contracts.events import message_sent
from imc_testkit.gateway import Gateway, connect
from imc_testkit.waiting import wait_until


def contents(gateway: Gateway) -> list[str]:
    return [frame["data"]["content"] for frame in gateway.with_code(2001)]


async def listeners(app_log: Any) -> int:
    ((_, count),) = await app_log.redis.pubsub_shardnumsub(names.live(app_log.app_id, 0))
    return count


async def is_none_left(app_log: Any) -> bool:
    return await listeners(app_log) == 0


async def connections_made(node: Any) -> float:
    async with httpx.AsyncClient(base_url=node.url, trust_env=False) as client:
        lines = (await client.get("/metrics")).text.splitlines()
    (line,) = [line for line in lines if line.startswith("imc_pubsub_connections_total ")]
    return float(line.split()[1])


async def is_subscribed_anew(node: Any, app_log: Any, before: float) -> bool:
    return await connections_made(node) > before and await listeners(app_log) == 1


def numbers(first: int, last: int) -> list[str]:
    return [str(number) for number in range(first, last + 1)]


async def test_everything_is_pushed_in_order_to_every_gateway(node: Any, app_log: Any) -> None:
    async with (
        connect(node.url, app_log.app_id, "one") as one,
        connect(node.url, app_log.app_id, "two") as two,
    ):
        for gateway in (one, two):
            await gateway.wait_for_code(2000)
        cursors = [*await app_log.send(3), *await app_log.send(1), *await app_log.send(500)]
        for gateway in (one, two):
            await gateway.wait_for_code(2001, 504)
            assert contents(gateway) == numbers(1, 504)
            assert [frame["cursor"] for frame in gateway.with_code(2001)] == [str(at) for at in cursors]
            assert gateway.frames[0]["code"] == 2000


async def test_notices_go_to_those_who_asked(node: Any, app_log: Any) -> None:
    async with (
        connect(node.url, app_log.app_id, "with", notices=True) as informed,
        connect(node.url, app_log.app_id, "without") as plain,
    ):
        await informed.wait_for_code(2000)
        await plain.wait_for_code(2000)
        await app_log.send()
        await app_log.notices()
        await app_log.send()
        await informed.wait_for_code(2001, 2)
        await plain.wait_for_code(2001, 2)
        assert [frame["code"] for frame in informed.frames] == [2000, 2001, 2004, 2005, 2001]
        assert [frame["code"] for frame in plain.frames] == [2000, 2001, 2001]


async def test_apps_hear_nothing_of_each_other(node: Any, app_log: Any) -> None:
    async with (
        connect(node.url, app_log.app_id, "one") as ours,
        connect(node.url, app_log.app_id + "x", "one") as theirs,
    ):
        await theirs.wait_for_code(2000)
        await ours.wait_for_code(2000)
        await app_log.send()
        await ours.wait_for_code(2001)
        assert theirs.with_code(2001) == []


async def test_a_batch_that_was_never_published_is_read_from_the_log_before_the_next(
    node: Any, app_log: Any
) -> None:
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        await app_log.send(2)
        await app_log.send(300, publish=False)
        await app_log.send(2)
        await gateway.wait_for_code(2001, 304)
        assert contents(gateway) == numbers(1, 304)
        assert gateway.with_code(4002) == []


async def test_a_lost_last_batch_is_found(node: Any, app_log: Any) -> None:
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        await app_log.send(publish=False)
        await gateway.wait_for_code(2001, timeout=3)
        await app_log.send()
        await gateway.wait_for_code(2001, 2)
        assert contents(gateway) == numbers(1, 2)


async def test_nothing_is_lost_when_pubsub_is_cut_again_and_again(node: Any, app_log: Any) -> None:
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        for round_number in range(40):
            await app_log.send(3)
            if round_number % 4 == 0:
                await app_log.redis.client_kill_filter(_type="pubsub")
        await gateway.wait_for_code(2001, 120)
        assert contents(gateway) == numbers(1, 120)
        assert gateway.with_code(4002) == []


async def test_entries_made_by_hand_are_skipped(node: Any, app_log: Any) -> None:
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        await app_log.send()
        redis = app_log.redis
        for fields in ({"k": "s", "v": "no json"}, {"x": "y"}, {"k": "?", "v": "{}"}):
            await redis.xadd(names.log(app_log.app_id), fields)
        await app_log.send(publish=False)
        await app_log.send()
        await gateway.wait_for_code(2001, 3)
        assert contents(gateway) == numbers(1, 3)
        assert gateway.with_code(4002) == []


async def test_an_emptied_log_is_announced_and_the_next_one_followed(node: Any, app_log: Any) -> None:
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        (last,) = await app_log.send()
        await gateway.wait_for_code(2001)
        await app_log.lose(names.log(app_log.app_id), names.log_state(app_log.app_id))
        (gap,) = await gateway.wait_for_code(4002)
        assert gap["data"]["from"] == str(last)
        assert gap["data"]["to"].startswith("u")
        app_log.epoch = "other"
        (first,) = await app_log.send()
        await gateway.wait_for_code(2001, 2)
        assert gateway.frames[-1]["cursor"] == str(first)
        assert len(gateway.with_code(4002)) == 1


async def test_a_log_of_another_epoch_is_announced(node: Any, app_log: Any) -> None:
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        (last,) = await app_log.send()
        await gateway.wait_for_code(2001)
        keys = (names.log(app_log.app_id), names.log_state(app_log.app_id))
        await app_log.lose(*keys)
        app_log.epoch = "other"
        (first,) = await app_log.send()
        (gap,) = await gateway.wait_for_code(4002)
        assert gap["data"] == {"from": str(last), "to": str(first)}


async def test_a_log_that_lost_its_end_is_announced(node: Any, app_log: Any) -> None:
    """As after a failover to a replica that was behind."""
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        kept, lost = await app_log.send(2)
        await gateway.wait_for_code(2001, 2)
        await app_log.redis.xdel(names.log(app_log.app_id), str(lost.entry))
        await app_log.redis.hset(names.log_state(app_log.app_id), "last", str(kept.entry))
        await app_log.lose()
        (gap,) = await gateway.wait_for_code(4002)
        assert gap["data"] == {"from": str(lost), "to": str(kept)}
        await app_log.send()
        await gateway.wait_for_code(2001, 3)
        assert contents(gateway) == numbers(1, 3)


async def test_a_log_that_lost_its_end_and_goes_on_is_announced(node: Any, app_log: Any) -> None:
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        kept, lost = await app_log.send(2)
        await gateway.wait_for_code(2001, 2)
        async with app_log.redis.pipeline() as pipeline:
            pipeline.xdel(names.log(app_log.app_id), str(lost.entry))
            pipeline.hset(names.log_state(app_log.app_id), "last", str(kept.entry))
            await pipeline.execute()
            (newest,) = await app_log.send()
        (gap,) = await gateway.wait_for_code(4002)
        assert gap["data"]["from"] == str(lost)
        assert gap["data"]["to"] in (str(kept), str(newest))


async def test_what_the_log_goes_on_with_after_a_fork_is_pushed(node: Any, app_log: Any) -> None:
    """As after a failover, while the old master took sends that the new one has not: both have all ids."""
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        _, kept = await app_log.send(2)
        copy = await app_log.copy()
        lost = [*await app_log.send(2), *await app_log.send()]
        await gateway.wait_for_code(2001, 5)
        await app_log.fork(copy, kept)
        await app_log.send()
        (gap,) = await gateway.wait_for_code(4002)
        assert gap["data"] == {"from": str(lost[-1]), "to": str(kept)}
        await gateway.wait_for_code(2001, 7)
        assert contents(gateway) == numbers(1, 7)
        assert [frame["code"] for frame in gateway.frames[-3:]] == [4002, 2001, 2001]
    for at, cursor in enumerate(lost):
        async with connect(node.url, app_log.app_id, f"back-{at}", cursor=str(cursor)) as gateway:
            (gap,) = await gateway.wait_for_code(4002)
            assert gap["data"] == {"from": str(cursor), "to": str(kept)}
            assert (gateway.frames[0]["cursor"], gateway.frames[0]["recovered"]) == (str(kept), False)
            await gateway.wait_for_code(2001, 2)
            assert contents(gateway) == numbers(6, 7)


async def test_a_fork_of_before_all_that_is_known_is_announced_as_a_gap(
    node: Any, app_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imc_push_node.stream.trail.MOST_ENTRIES", 2)
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        (kept,) = await app_log.send()
        copy = await app_log.copy()
        lost: list[Any] = []
        for count in range(4):
            lost += await app_log.send()
            await gateway.wait_for_code(2001, count + 2)
        other = await app_log.fork(copy, kept)
        (gap,) = await gateway.wait_for_code(4002)
        assert gap["data"] == {"from": str(lost[2]), "to": str(other)}
        await app_log.send()
        await gateway.wait_for_code(2001, 6)


async def test_a_trimmed_log_is_no_gap_for_those_who_are_up_to_date(node: Any, app_log: Any) -> None:
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        await app_log.send(3)
        await gateway.wait_for_code(2001, 3)
        await app_log.redis.xtrim(names.log(app_log.app_id), maxlen=0, approximate=False)
        before = await connections_made(node)
        await app_log.redis.client_kill_filter(_type="pubsub")
        await wait_until(lambda: is_subscribed_anew(node, app_log, before))
        async with connect(node.url, app_log.app_id, "two") as another:
            # Let in once the log was looked at: what comes before that look would follow on nothing it shows.
            await another.wait_for_code(2000)
        await app_log.send()
        await gateway.wait_for_code(2001, 4)
        assert gateway.with_code(4002) == []


async def test_content_is_pushed_byte_for_byte(node: Any, app_log: Any) -> None:
    content = 'quotes " backslash \\ newline \n NUL \0 separator \u2028 emoji 😀'
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        await app_log.append(message_sent(app_log.message(content)))
        await gateway.wait_for_code(2001)
        assert contents(gateway) == [content]


async def test_an_app_is_let_go_some_time_after_its_last_gateway(start_node: Any, app_log: Any) -> None:
    node = await start_node(linger_seconds=0.2)

    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        assert await listeners(app_log) == 1
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        await asyncio.sleep(0.3)  # longer than the first leave was to linger: the second look must see us
        assert await listeners(app_log) == 1
        await app_log.send()
        await gateway.wait_for_code(2001)
    await wait_until(lambda: is_none_left(app_log))
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        await app_log.send()
        await gateway.wait_for_code(2001)
