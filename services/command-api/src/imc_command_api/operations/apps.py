"""Lists the apps of the installation with what they do and use."""

import heapq
import time
from collections.abc import Collection, Iterable, Sequence
from typing import Literal

from imc_contracts import names
from imc_contracts.operator_views import AppActivity, AppQuotas
from imc_contracts.policies import DAY_MS, Policies, Quota
from imc_contracts.roster import bounds_of
from imc_service.activity import Kind
from imc_service.pages import Page
from imc_service.redis.masters import Argument, Masters

from imc_command_api.operations.activity import ActivityReader, Rates

Order = Literal["noisiest", "id"]

Place = tuple[int, str]
"""The place of an app in a list: minus what it has done lately, or 0 in the order of ids; and its id."""

_OF_AN_APP = 4


class Apps:
    """Raises what redis-py raises."""

    def __init__(self, masters: Masters, activity: ActivityReader, policies: Policies) -> None:
        self._masters = masters
        self._activity = activity
        self._policies = policies

    async def ids(self) -> set[str]:
        """All apps that have a log."""
        keys = [names.apps(shard) for shard in range(names.SHARDS)]
        replies = await self._masters.all([(key, ("ZRANGE", key, 0, -1)) for key in keys])
        return {app_id.decode() for reply in replies for app_id in reply}

    async def page(
        self, among: Collection[str] | None, order: Order, after: Place | None, limit: int
    ) -> Page[AppActivity, Place]:
        """At most ``limit`` apps after a place: of some, or if that is None of all that have a log.

        The list by noise moves while it is read: an app may come twice, or not at all.
        """
        rates = await self._activity.rates()
        app_ids = await self.ids() if among is None else among
        places = self._places(app_ids, order, rates)
        found = heapq.nsmallest(limit + 1, (place for place in places if after is None or place > after))
        has_more = len(found) > limit
        views = await self._views([app_id for _, app_id in found[:limit]], rates)
        return Page(views, found[limit - 1] if has_more else None)

    def _places(self, app_ids: Iterable[str], order: Order, rates: Rates) -> Iterable[Place]:
        if order == "id":
            return ((0, app_id) for app_id in app_ids)
        return ((-rates.totals.get(app_id, 0), app_id) for app_id in app_ids)

    async def _views(self, app_ids: Sequence[str], rates: Rates) -> list[AppActivity]:
        commands: list[tuple[str, Sequence[Argument]]] = []
        for app_id in app_ids:
            shard = names.shard_of(app_id)
            state, pending, roster = names.log_state(app_id), names.pending(shard), names.roster(shard)
            letters = names.dead_letters(app_id)
            low, high = bounds_of(app_id)
            commands += [
                (state, ("HMGET", state, "waiting")),
                (pending, ("ZSCORE", pending, app_id)),
                (roster, ("ZLEXCOUNT", roster, b"(" + low, b"(" + high)),
                (letters, ("XLEN", letters)),
            ]
        replies = await self._masters.all(commands)
        now_ms, views = time.time() * 1000, list[AppActivity]()
        for place, app_id in enumerate(app_ids):
            policy = self._policies.of(app_id)
            waiting, since, gateways, letters = replies[_OF_AN_APP * place : _OF_AN_APP * (place + 1)]
            views.append(
                {
                    "appId": app_id,
                    "sendsPerSecond": rates.of(Kind.SENDS, app_id),
                    "sendsRefusedPerSecond": rates.of(Kind.REFUSED, app_id),
                    "pushesPerSecond": rates.of(Kind.PUSHES, app_id),
                    "backlogEntries": int(waiting[0] or 0),
                    "backlogSeconds": 0.0 if since is None else max(0.0, now_ms - float(since)) / 1000,
                    "gateways": gateways,
                    "deadLetters": letters,
                    "quotas": _quotas_view(policy.quota),
                    "retentionDays": _days(policy.retention_ms),
                    "abandonedGroupDays": _days(policy.abandoned_after_ms),
                    "isSuspended": policy.is_suspended,
                }
            )
        return views


def _days(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / DAY_MS


def _quotas_view(quota: Quota) -> AppQuotas | None:
    if quota == Quota():
        return None
    return {
        "sendsPerSecond": quota.sends_per_second,
        "sendBurst": None if quota.sends_per_second is None else quota.send_burst,
        "gateways": quota.gateways,
        "backlogBytes": quota.backlog_bytes,
    }
