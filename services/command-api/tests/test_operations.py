"""How the counts of apps are read."""

from typing import Any

import pytest
from imc_command_api.operations.activity import ActivityReader, percentile
from imc_command_api.operations.apps import Apps, Place
from imc_contracts import names
from imc_contracts.policies import Policies
from imc_service.activity import TIMES_MS, Activity, Kind
from imc_service.redis.masters import Masters
from imc_testkit.servers import private_redis
from redis.asyncio import Redis

MINUTE = 29_900_000


def times(**counts: int) -> list[int]:
    """Counts of times, by the upper bound of their class in ms; ``more`` is above all."""
    found = [0] * (len(TIMES_MS) + 1)
    for bound, count in counts.items():
        found[-1 if bound == "more" else TIMES_MS.index(int(bound.removeprefix("ms")))] = count
    return found


@pytest.mark.parametrize(
    ("counts", "median", "p99"),
    [
        ({}, None, None),
        ({"ms1": 100}, 0.5, 0.99),
        ({"ms1": 50, "ms10": 50}, 1.0, 9.94),
        ({"ms5": 98, "ms1000": 2}, 4.02, 850.0),
        ({"more": 1}, 5000, 5000),
        ({"ms2": 1, "more": 99}, 5000, 5000),
    ],
)
def test_percentiles_lie_within_their_class(
    counts: dict[str, int], median: float | None, p99: float | None
) -> None:
    found = times(**counts)
    assert (percentile(found, 0.5), percentile(found, 0.99)) == (median, p99)


@pytest.mark.parametrize(("seconds_into_it", "window"), [(0, 60), (9.9, 60), (10, 70), (59.9, 110)])
async def test_rates_are_those_of_two_minutes(
    redis: Any, app_id: str, seconds_into_it: float, window: float
) -> None:
    masters = Masters(redis)
    activity = Activity(masters)
    for minute, count in ((MINUTE - 2, 1000), (MINUTE - 1, 30), (MINUTE, 12)):
        await redis.delete(names.activity(names.shard_of(app_id), minute))
        activity.sent(app_id, count)
        await activity.flush(minute)
    rates = await ActivityReader(masters, lambda: MINUTE * 60 + seconds_into_it).rates()
    assert rates.of(Kind.SENDS, app_id) == round(42 / window, 3)
    assert rates.of(Kind.PUSHES, app_id) == 0
    assert rates.of(Kind.SENDS, "unheard of") == 0


async def test_fields_that_nobody_knows_are_passed_over(redis: Any, app_id: str) -> None:
    key = names.activity(names.shard_of(app_id), MINUTE + 10)
    await redis.hset(key, mapping={f"s:{app_id}": "x", "z:a": 1, b"\xff": b"\xff", f"p:{app_id}": 6})
    rates = await ActivityReader(Masters(redis), lambda: (MINUTE + 10) * 60).rates()
    assert (rates.of(Kind.SENDS, app_id), rates.of(Kind.PUSHES, app_id)) == (0, 0.1)


async def test_the_noisiest_come_first_and_all_others_follow() -> None:
    async with private_redis() as server, Redis.from_url(server.url) as redis:
        masters, now = Masters(redis), MINUTE * 60.0
        activity = Activity(masters)
        for app_id in ("a", "b", "c", "d", "群"):
            await redis.zadd(names.apps(names.shard_of(app_id)), {app_id: 0})
        for app_id, count in (("c", 5), ("群", 9), ("no log", 100)):
            activity.sent(app_id, count)
        await activity.flush(MINUTE)
        apps = Apps(masters, ActivityReader(masters, lambda: now), Policies())

        async def listed(order: Any, limit: int, among: Any = None) -> list[str]:
            seen, after = list[str](), None
            while True:
                page = await apps.page(among, order, after, limit)
                seen += [app["appId"] for app in page.items]
                if page.next is None:
                    return seen
                after: Place | None = page.next

        for limit in (1, 2, 5, 500):
            assert await listed("noisiest", limit) == ["群", "c", "a", "b", "d"]
            assert await listed("id", limit) == ["a", "b", "c", "d", "群"]
            assert await listed("noisiest", limit, {"a", "c"}) == ["c", "a"]
        assert await listed("id", 500, frozenset[str]()) == []
