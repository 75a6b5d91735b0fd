"""What is read of the changes of a shard, and when all its apps are looked at."""

from typing import Any

import pytest
from imc_contracts import names
from imc_push_node.cluster import monitor
from imc_push_node.stream import changes
from imc_push_node.stream.changes import Changes
from imc_testkit.gateway import connect
from imc_testkit.waiting import wait_until


def entry(number: int, app_id: str, field: str = "a") -> list[Any]:
    return [b"%d-0" % number, [field.encode(), app_id.encode()]]


NONE = frozenset[str]()


@pytest.mark.parametrize(
    ("reply", "seen", "expected"),
    [
        ([entry(1, "seen")], b"1-0", Changes(b"1-0", NONE, NONE)),
        ([entry(1, "seen"), entry(2, "x")], b"1-0", Changes(b"2-0", frozenset("x"), NONE)),
        ([entry(1, "seen"), entry(2, "é", "g")], b"1-0", Changes(b"2-0", NONE, frozenset("é"))),
        ([entry(1, "seen"), entry(2, "x", "?")], b"1-0", Changes(b"2-0", NONE, NONE)),
        ([], changes.NOTHING, Changes(changes.NOTHING, NONE, NONE)),
        ([entry(1, "x")], changes.NOTHING, Changes(b"1-0", frozenset("x"), NONE)),
        ([], b"1-0", None),
        ([entry(2, "x")], b"1-0", None),
        ([entry(number, "x") for number in range(1, changes.MOST + 1)], b"1-0", "known"),
        ([entry(number, "x") for number in range(1, changes.MOST + 2)], b"1-0", None),
    ],
    ids=[
        "none",
        "a log",
        "gateways",
        "by hand",
        "never any",
        "the first",
        "lost",
        "cut off",
        "many",
        "too many",
    ],
)
def test_changes_are_known_if_the_last_one_that_was_seen_is_there(
    reply: list[Any], seen: bytes, expected: Any
) -> None:
    found = changes.read(reply, seen)
    if expected == "known":
        assert found == Changes(b"%d-0" % changes.MOST, frozenset("x"), NONE)
    else:
        assert found == expected


async def test_a_lost_last_batch_is_found_among_many_changes(node: Any, app_log: Any) -> None:
    """There are more than a node reads."""
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        await app_log.send()
        await gateway.wait_for_code(2001)
        for _ in range(3):
            await app_log.send(publish=False)
            async with app_log.redis.pipeline() as pipeline:
                for _ in range(2 * changes.MOST):
                    pipeline.xadd(names.changes(app_log.shard), {"a": "another"})
                await pipeline.execute()
        await gateway.wait_for_code(2001, 4)


async def test_a_takeover_that_is_lost_among_many_changes_is_found(node: Any, app_log: Any) -> None:
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        number = await app_log.redis.zincrby(names.gateway_fence(app_log.app_id), 1, "f")
        async with app_log.redis.pipeline() as pipeline:
            pipeline.zadd(names.gateways(app_log.app_id), {"one": number}, gt=True)
            for _ in range(2 * changes.MOST):
                pipeline.xadd(names.changes(app_log.shard), {"a": "another"})
            await pipeline.execute()
        assert await gateway.wait_closed() == 4409


async def test_what_no_change_tells_of_is_found_by_a_tour(
    start_node: Any, app_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "TOUR_SECONDS", 1.0)
    node = await start_node()
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        [newest] = await app_log.send()
        await wait_until(lambda: node.app(app_log.app_id).settled_head == newest)
        await app_log.redis.delete(names.log(app_log.app_id), names.log_state(app_log.app_id))
        await gateway.wait_for_code(4002)


async def test_an_app_that_is_quiet_is_not_checked(start_node: Any, app_log: Any) -> None:
    node = await start_node()
    hub = node.push_node.connections.hub
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        await wait_until(lambda: not hub.busy)
        await app_log.send()
        await gateway.wait_for_code(2001)
        await wait_until(lambda: node.app(app_log.app_id) in hub.busy)
        await wait_until(lambda: not hub.busy)
