"""Reads what `imc_service.activity` has counted."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from imc_contracts import names
from imc_contracts.operator_views import MinuteActivity
from imc_service.activity import BACKLOG, FLUSH_SECONDS, TIMES, TIMES_MS, Kind, field_of
from imc_service.redis.masters import Masters

MINUTE_SECONDS = 60

_KINDS = (Kind.SENDS, Kind.REFUSED, Kind.PUSHES)


@dataclass(slots=True)
class Rates:
    """What each app has done lately, within about ``seconds``. Apps that have done nothing are left out."""

    seconds: float
    counts: dict[Kind, Counter[str]] = field(default_factory=lambda: {kind: Counter() for kind in Kind})
    totals: Counter[str] = field(default_factory=Counter[str])

    def of(self, kind: Kind, app_id: str) -> float:
        """How often a second."""
        return round(self.counts[kind][app_id] / self.seconds, 3)


class ActivityReader:
    """Raises what redis-py raises."""

    def __init__(self, masters: Masters, clock: Callable[[], float] = time.time) -> None:
        self._masters = masters
        self._clock = clock

    async def minutes(self, count: int) -> list[MinuteActivity]:
        """What all apps did in the last minutes, the oldest first. The last one is not over."""
        minutes = self._last(count)
        keys = [names.all_activity(minute) for minute in minutes]
        replies = await self._masters.all([(key, ("HGETALL", key)) for key in keys])
        return [_of_all(minute, _numbers(reply)) for minute, reply in zip(minutes, replies, strict=True)]

    async def minutes_of(self, app_id: str, count: int) -> list[MinuteActivity]:
        """What one app did, as `minutes`. Of an app the backlog and the times of sends are not known."""
        minutes = self._last(count)
        keys = [names.activity(names.shard_of(app_id), minute) for minute in minutes]
        fields = [field_of(kind, app_id) for kind in _KINDS]
        replies = await self._masters.all([(key, ("HMGET", key, *fields)) for key in keys])
        return [
            _minute(minute, [int(value or 0) for value in reply])
            for minute, reply in zip(minutes, replies, strict=True)
        ]

    async def rates(self) -> Rates:
        """What the noisiest apps have done in this minute and the one before."""
        now = self._clock()
        rates = Rates(MINUTE_SECONDS + now % MINUTE_SECONDS // FLUSH_SECONDS * FLUSH_SECONDS)
        keys = [names.activity(shard, minute) for shard in range(names.SHARDS) for minute in self._last(2)]
        for reply in await self._masters.all([(key, ("HGETALL", key)) for key in keys]):
            for name, number in _numbers(reply).items():
                kind, _, app_id = name.partition(":")
                if kind in _KINDS:
                    rates.counts[Kind(kind)][app_id] += number
                    rates.totals[app_id] += number
        return rates

    def _last(self, count: int) -> list[int]:
        newest = int(self._clock() // MINUTE_SECONDS)
        return list(range(newest - count + 1, newest + 1))


def percentile(times: Sequence[int], share: float) -> float | None:
    """The time that ``share`` of all took at most, from the classes of `TIMES_MS`; None without any."""
    wanted = share * sum(times)
    if not wanted:
        return None
    bounds = (0, *TIMES_MS, TIMES_MS[-1])
    for place, reached in enumerate(accumulate(times)):
        if reached >= wanted:
            low, high = bounds[place], bounds[place + 1]
            within = (wanted - (reached - times[place])) / times[place]
            return round(low + within * (high - low), 2)
    raise AssertionError("all of them are no less than a share of them")


def _of_all(minute: int, numbers: Mapping[str, int]) -> MinuteActivity:
    view = _minute(minute, [numbers.get(field_of(kind), 0) for kind in _KINDS])
    times = [numbers.get(field_of(TIMES, str(place)), 0) for place in range(len(TIMES_MS) + 1)]
    view["backlogEntries"] = sum(
        number for name, number in numbers.items() if name.startswith(field_of(BACKLOG))
    )
    view["sendMsP50"], view["sendMsP99"] = percentile(times, 0.5), percentile(times, 0.99)
    return view


def _minute(minute: int, counts: Sequence[int]) -> MinuteActivity:
    sends, refused, pushes = counts
    return {
        "time": minute * MINUTE_SECONDS * 1000,
        "sends": sends,
        "sendsRefused": refused,
        "pushes": pushes,
        "backlogEntries": None,
        "sendMsP50": None,
        "sendMsP99": None,
    }


def _numbers(reply: Mapping[bytes, bytes]) -> dict[str, int]:
    return {name.decode("utf-8", "replace"): int(value) for name, value in reply.items() if value.isdigit()}
